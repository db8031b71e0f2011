package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/admin"
	"pgwitness/internal/config"
	"pgwitness/internal/replication"
	"pgwitness/internal/webclient"
)

// consumers are those that must have the rows before they may go: the slot, and what runs at the URLs. It has a connection
// of its own, because a position can be marked only by a commit, and Database's is in a transaction meanwhile.
type consumers struct {
	conn     *admin.Conn
	slot     string
	status   []*webclient.Client
	table    string // as /status has it
	patience time.Duration
}

func (d *Database) newConsumers(ctx context.Context, r Retention) (*consumers, error) {
	cfg := d.cfg.ConnConfig.Copy()
	cfg.OnNotice = nil // belongs to the other connection
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := admin.Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &consumers{
		conn: conn, slot: r.Slot, status: r.Status, table: config.Table{Schema: d.cfg.Schema, Name: d.cfg.Table}.String(), patience: r.Wait,
	}
	if c.patience <= 0 {
		c.patience = 30 * time.Second
	}
	return c, nil
}

func (c *consumers) close() { c.conn.Close() }

// slotState is a row of pg_replication_slots.
type slotState struct {
	Name         string `json:"slot_name"`
	Type         string `json:"slot_type"`
	Plugin       string `json:"plugin"`
	Here         bool   `json:"here"` // of this database
	Temporary    bool   `json:"temporary"`
	Active       bool   `json:"active"`
	WALStatus    string `json:"wal_status"`
	Invalidation string `json:"invalidation_reason"` // PostgreSQL 17 and later
	Inactive     string `json:"inactive_since"`      // PostgreSQL 17 and later
	// Behind is by how many bytes of WAL the confirmed position is short of the marked one.
	Behind int64 `json:"behind"`
}

const slotQuery = `SELECT coalesce(json_agg(to_jsonb(s) || jsonb_build_object('here', s.database = current_database(),
	'behind', coalesce(pg_wal_lsn_diff($1::pg_lsn, s.confirmed_flush_lsn), 0)::bigint)), '[]') FROM pg_replication_slots s`

// await returns once everybody has confirmed what is committed now, and says which other slots have not. Otherwise it
// returns an ErrBehind that says who has not and how far he is. Whoever calls it has seen to that the rows in question
// are committed.
func (c *consumers) await(ctx context.Context) (others []string, err error) {
	// What is committed lies before what is written to the WAL next. A commit, unlike a position that the server names, is
	// flushed, and so sent, even where nothing else is going on.
	text, err := c.conn.Text(ctx, `SELECT pg_logical_emit_message(true, 'pgwitness.position', ''), set_config('synchronous_commit', 'local', true)`)
	if err != nil {
		return nil, fmt.Errorf("marking the position: %w", err)
	}
	position, err := decoder.ParseLSN(text)
	if err != nil {
		return nil, fmt.Errorf("marking the position: %w", err)
	}
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		others, err = c.ask(ctx, position)
		if !errors.Is(err, ErrBehind) {
			return others, err
		}
		select {
		case <-ticker.C:
		case <-timer.C:
			return nil, fmt.Errorf("after %v: %w", c.patience, err)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks everybody once.
func (c *consumers) ask(ctx context.Context, position decoder.LSN) (others []string, err error) {
	var slots []slotState
	if err := c.conn.JSON(ctx, &slots, slotQuery, []byte(position.String())); err != nil {
		return nil, fmt.Errorf("reading pg_replication_slots: %w", err)
	}
	asked := []string{c.slot}
	if err := checkSlot(slots, c.slot, position); err != nil {
		return nil, err
	}
	for _, client := range c.status {
		slot, err := c.askSinks(ctx, client, position)
		if err == nil {
			err = checkSlot(slots, slot, position) // also tells a consumer of another cluster, whose positions mean nothing here
			asked = append(asked, slot)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, s := range slots {
		if s.Here && s.Type == "logical" && !s.Temporary && s.Behind > 0 && !slices.Contains(asked, s.Name) {
			others = append(others, fmt.Sprintf("slot %s, which was not asked, is %s behind", s.Name, volume(s.Behind)))
		}
	}
	return others, nil
}

// checkSlot says why the slot has not confirmed position.
func checkSlot(slots []slotState, name string, position decoder.LSN) error {
	at := slices.IndexFunc(slots, func(s slotState) bool { return s.Name == name })
	if at < 0 {
		return admin.Refuse(replication.ErrSetup, "slot %s does not exist, so nobody says that the rows were delivered; nothing was removed: name the "+
			"slot in source.slot, or run `pgwitness init --apply`", name)
	}
	s := slots[at]
	switch {
	case s.Type != "logical" || s.Plugin != "pgoutput" || !s.Here:
		return admin.Refuse(replication.ErrSetup, "slot %s is not a logical slot of this database with pgoutput; nothing was removed: name the slot in "+
			"source.slot", name)
	case s.WALStatus == "lost" || s.Invalidation != "":
		return admin.Refuse(replication.ErrEvidence, "slot %s was invalidated: rows may be in the table and nowhere else; nothing was removed", name)
	case s.Behind <= 0:
		return nil
	}
	state := "a consumer is connected"
	if !s.Active {
		state = "no consumer is connected"
		if s.Inactive != "" {
			state += " since " + s.Inactive
		}
	}
	return fmt.Errorf("%w: slot %s is %s short of %s (%s); nothing was removed, the next run may succeed", ErrBehind, name, volume(s.Behind), position, state)
}

// askSinks asks a consumer whether its sinks have everything before position, and returns its slot.
func (c *consumers) askSinks(ctx context.Context, client *webclient.Client, position decoder.LSN) (slot string, err error) {
	status, _, err := client.Status(ctx)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%w, for all that is known: %w; nothing was removed", ErrBehind, err)
	}
	if status.Source.Table != c.table {
		return "", admin.Refuse(replication.ErrSetup, "%s is not a pgwitness that follows %s; nothing was removed", client, c.table)
	}
	// A consumer confirms what each of its sinks has made durable. The last event that a sink has says less: where nothing
	// is written into the audit table it stands still.
	if status.Source.Confirmed >= position {
		return status.Source.Slot, nil
	}
	var failing []string
	for _, sink := range status.Sinks {
		if sink.State != "ok" {
			failing = append(failing, fmt.Sprintf("sink %s is %s", sink.Name, sink.State))
		}
	}
	if len(failing) == 0 {
		failing = []string{"no sink fails"}
	}
	return "", fmt.Errorf("%w: the sinks of %s have everything before %s, %s short of %s (%s); nothing was removed, the next run may succeed",
		ErrBehind, client, status.Source.Confirmed, volume(int64(position-status.Source.Confirmed)), position, strings.Join(failing, ", "))
}

// awaitSQL is what await does, for the slot alone, as an SQL statement.
func awaitSQL(r Retention) string {
	wait := r.Wait
	if wait <= 0 {
		wait = 30 * time.Second
	}
	return fmt.Sprintf(`DO $pgwitness$
DECLARE
    position_now pg_lsn := pg_current_wal_insert_lsn();
    since        timestamptz := clock_timestamp();
BEGIN
    WHILE NOT coalesce((SELECT confirmed_flush_lsn >= position_now FROM pg_replication_slots
            WHERE slot_name = %[1]s AND database = current_database()), false) LOOP
        IF clock_timestamp() > since + interval '%[2]d seconds' THEN
            RAISE EXCEPTION 'slot %% has not confirmed %%: not every row was delivered', %[1]s, position_now;
        END IF;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$pgwitness$;`, quoteLiteral(r.Slot), int(wait.Seconds()))
}

// volume is a number of bytes for people.
func volume(bytes int64) string {
	size, unit := float64(bytes), 0
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for size >= 1024 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
