package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgwitness/scripts"
)

// scenario is a backlog to drain, and what is to be reached.
type scenario struct {
	letter, name string
	// rows is how many there are at scale 1: as many as take some seconds.
	rows int
	// perTransaction is how many rows a transaction has; 0 is all of them.
	perTransaction int

	wantRate float64 // at least, of pgwitness/pg_recvlogical
	wantCPU  float64 // a row, at most, of pgwitness/pg_recvlogical; 0 for no target
	wantPeak float64 // MB resident at most; 0 for no target
}

var scenarios = []scenario{
	{letter: "a", name: "1,000-row transactions", rows: 400_000, perTransaction: 1000, wantRate: 1, wantCPU: 1.2},
	{letter: "b", name: "single-row transactions", rows: 200_000, perTransaction: 1, wantRate: 1, wantCPU: 1},
	{letter: "c", name: "one transaction", rows: 1_000_000, wantRate: 1, wantPeak: 32},
}

// bench is what all scenarios share.
type bench struct {
	options
	dir      string
	receiver string // pg_recvlogical; empty where it is not needed
	dsn      string
	progress io.Writer
	conn     *pgx.Conn
	server   string // its version
	client   string // pg_recvlogical's version; empty where it is not needed
}

const publication = "bench"

// prepare makes the seed's table and a publication of it.
func (b *bench) prepare(ctx context.Context) error {
	if b.receiver != "" {
		version, err := exec.CommandContext(ctx, b.receiver, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s --version: %w", b.receiver, err)
		}
		b.client = strings.TrimSpace(string(version))
	}
	var err error
	if b.conn, err = pgx.Connect(ctx, b.dsn); err != nil {
		return err
	}
	b.server = b.conn.PgConn().ParameterStatus("server_version")
	return b.exec(ctx, "CREATE TABLE your_table (id int, column_name text)", scripts.Seed,
		"CREATE PUBLICATION "+publication+" FOR TABLE custom_audit_log")
}

func (b *bench) close() { _ = b.conn.Close(context.Background()) }

// exec runs statements, each in a transaction of its own, by the simple protocol.
func (b *bench) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := b.conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

// createSlot makes a slot behind which there is nothing yet.
func (b *bench) createSlot(ctx context.Context, slot string) error {
	return b.exec(ctx, "TRUNCATE custom_audit_log", "CHECKPOINT", "SELECT pg_create_logical_replication_slot('"+slot+"', 'pgoutput')")
}

func (b *bench) rows(s scenario) int {
	per := max(1, s.perTransaction)
	return max(1, int(float64(s.rows)*b.scale)/per) * per
}

// insertRows inserts the rows whose numbers are from %[1]s to %[2]s, as the seed's trigger writes them.
const insertRows = `INSERT INTO custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data)
	SELECT (ARRAY['INSERT','UPDATE','DELETE'])[1 + i %% 3], clock_timestamp(), 'app', 'orders',
		jsonb_build_object('id', i, 'column_name', 'value ' || i, 'event_type', 'INSERT')
	FROM generate_series(%[1]s, %[2]s) i`

// load writes the backlog.
func (b *bench) load(ctx context.Context, s scenario) error {
	rows, per := b.rows(s), s.perTransaction
	if per == 0 {
		per = rows
	}
	return b.exec(ctx, "SET synchronous_commit = off", fmt.Sprintf(`DO $$ BEGIN FOR lowest IN 1..%d BY %d LOOP %s; COMMIT; END LOOP; END $$`,
		rows, per, fmt.Sprintf(insertRows, "lowest", fmt.Sprintf("lowest + %d", per-1))))
}

// round is one drain by each of the two.
type round struct{ pgwitness, receiver cost }

// drain loads the backlog of s and drains it in turns.
func (b *bench) drain(ctx context.Context, s scenario) (rounds []round, err error) {
	master := "bench_" + s.letter
	fmt.Fprintf(b.progress, "(%s) %s: writing %d rows\n", s.letter, s.name, b.rows(s))
	// The slot comes first and is only ever copied, so that each drain begins where this one stands.
	if err := b.createSlot(ctx, master); err != nil {
		return nil, err
	}
	defer func() {
		if dropErr := b.dropSlot(context.WithoutCancel(ctx), master); err == nil {
			err = dropErr
		}
	}()
	if err := b.load(ctx, s); err != nil {
		return nil, err
	}
	// The message is WAL that lies behind the end, so that the server's position passes it.
	var end string
	if err := b.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&end); err != nil {
		return nil, err
	}
	if err := b.exec(ctx, "SELECT pg_logical_emit_message(true, 'bench', 'the end')", "CHECKPOINT"); err != nil {
		return nil, err
	}
	for i := range b.rounds {
		var r round
		turns := []struct {
			name string
			cost *cost
			run  func(context.Context, string, string, string) (cost, error)
		}{{"pgwitness", &r.pgwitness, b.runPgwitness}, {"pg_recvlogical", &r.receiver, b.runReceiver}}
		if i%2 == 1 {
			turns[0], turns[1] = turns[1], turns[0]
		}
		for _, turn := range turns {
			slot := fmt.Sprintf("%s_%d_%s", master, i, turn.name)
			if err := b.exec(ctx, fmt.Sprintf("SELECT pg_copy_logical_replication_slot('%s', '%s')", master, slot)); err != nil {
				return nil, err
			}
			dir, err := os.MkdirTemp(b.dir, turn.name+"-")
			if err != nil {
				return nil, err
			}
			if *turn.cost, err = turn.run(ctx, dir, slot, end); err != nil {
				return nil, err
			}
			fmt.Fprintf(b.progress, "(%s) round %d/%d  %-14s  %6.2f s  %6.2f s CPU\n", s.letter, i+1, b.rounds, turn.name,
				turn.cost.wall.Seconds(), turn.cost.cpu().Seconds())
			if err := os.RemoveAll(dir); err != nil {
				return nil, err
			}
			if err := b.dropSlot(ctx, slot); err != nil {
				return nil, err
			}
		}
		if want := b.rows(s); r.pgwitness.lines != want {
			return nil, fmt.Errorf("pgwitness delivered %d rows of %d", r.pgwitness.lines, want)
		}
		if len(rounds) > 0 && r.receiver.bytes != rounds[0].receiver.bytes {
			return nil, fmt.Errorf("pg_recvlogical wrote %d bytes, and %d in the first round", r.receiver.bytes, rounds[0].receiver.bytes)
		}
		rounds = append(rounds, r)
	}
	return rounds, nil
}

// dropSlot waits until the walsender has gone, whose CPU time belongs to no other drain, and drops the slot.
func (b *bench) dropSlot(ctx context.Context, slot string) error {
	return b.exec(ctx, fmt.Sprintf(`DO $$ BEGIN
		WHILE (SELECT active FROM pg_replication_slots WHERE slot_name = '%[1]s') LOOP PERFORM pg_sleep(0.01); END LOOP;
		PERFORM pg_drop_replication_slot('%[1]s');
	END $$`, slot))
}
