package crashtest

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// row is one row of the audit table as it was committed.
type row struct {
	lsn pglogrepl.LSN // of the commit record
	seq uint64
	xid uint32
	id  string
	// label and number are the writer's: the rows of a label are numbered in the order of their insertion.
	label  string
	number uint64
	digest uint64 // of all columns' texts
}

func (r row) String() string {
	return fmt.Sprintf("id %s at %s/%d (xid %d, %s-%d, digest %x)", r.id, r.lsn, r.seq, r.xid, r.label, r.number, r.digest)
}

const null = "\x00"

var digestSeed = maphash.MakeSeed()

// columns of the audit table, in the order of setColumns' texts.
var columns = []string{"id", "event_type", "event_timestamp", "user_name", "table_name", "row_data"}

// setColumns fills in what comes from the texts of the columns. The texts are PostgreSQL's, null for a NULL.
func (r *row) setColumns(texts []string) {
	var digest maphash.Hash
	digest.SetSeed(digestSeed)
	for _, text := range texts {
		digest.WriteString(text)
		digest.WriteByte(0xff) // never in UTF-8
	}
	r.digest = digest.Sum64()
	r.id = texts[0]
	if _, after, ok := strings.Cut(texts[len(texts)-1], `"column_name": "`); ok {
		text, _, _ := strings.Cut(after, `"`)
		r.label, text, _ = strings.Cut(text, "-")
		_, _ = fmt.Sscan(text, &r.number)
	}
}

// reference reads a slot of its own and keeps the committed rows, in commit order. It survives the server's restarts.
type reference struct {
	dsn, slot, publication string

	mu       sync.Mutex
	rows     []row         // guarded by mu
	position pglogrepl.LSN // every row committed before it is in rows; guarded by mu
}

// run reads until ctx is done.
func (r *reference) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := r.stream(ctx)
		if _, ok := errors.AsType[*wrongStream](err); ok {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// wrongStream is an error that is no consequence of a fault.
type wrongStream struct{ text string }

func (e *wrongStream) Error() string { return "the reference: " + e.text }

func (r *reference) stream(ctx context.Context) error {
	cfg, err := pgconn.ParseConfig(r.dsn)
	if err != nil {
		return err
	}
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := pglogrepl.StartReplication(ctx, conn, r.slot, r.known(), pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + r.publication + "'"},
	}); err != nil {
		return err
	}
	var open *transaction
	var relation *pglogrepl.RelationMessage
	for told := (time.Time{}); ; {
		if time.Since(told) > 200*time.Millisecond {
			position := r.known()
			if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{
				WALWritePosition: position, WALFlushPosition: position, WALApplyPosition: position,
			}); err != nil {
				return err
			}
			told = time.Now()
		}
		receiving, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		message, err := conn.ReceiveMessage(receiving)
		cancel()
		if err != nil {
			if pgconn.Timeout(err) && ctx.Err() == nil {
				continue
			}
			return err
		}
		data, ok := message.(*pgproto3.CopyData)
		if !ok {
			return fmt.Errorf("the stream ended: %T", message)
		}
		switch data.Data[0] {
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			keepalive, err := pglogrepl.ParsePrimaryKeepaliveMessage(data.Data[1:])
			if err != nil {
				return err
			}
			if open == nil {
				r.add(nil, keepalive.ServerWALEnd)
			}
			if keepalive.ReplyRequested {
				told = time.Time{}
			}
		case pglogrepl.XLogDataByteID:
			x, err := pglogrepl.ParseXLogData(data.Data[1:])
			if err != nil {
				return err
			}
			decoded, err := pglogrepl.Parse(x.WALData)
			if err != nil {
				return &wrongStream{err.Error()}
			}
			switch m := decoded.(type) {
			case *pglogrepl.RelationMessage:
				relation = m
			case *pglogrepl.BeginMessage:
				open = &transaction{lsn: m.FinalLSN, xid: m.Xid}
			case *pglogrepl.InsertMessage:
				if err := open.insert(relation, m.Tuple); err != nil {
					return err
				}
			case *pglogrepl.CommitMessage:
				r.add(open.rows, m.TransactionEndLSN)
				open = nil
			default:
				return &wrongStream{fmt.Sprintf("unexpected %T", m)}
			}
		}
	}
}

type transaction struct {
	lsn  pglogrepl.LSN
	xid  uint32
	rows []row
}

func (t *transaction) insert(relation *pglogrepl.RelationMessage, tuple *pglogrepl.TupleData) error {
	texts := make([]string, len(columns))
	for i, column := range tuple.Columns {
		if relation.Columns[i].Name != columns[i] {
			return &wrongStream{"unexpected column " + relation.Columns[i].Name}
		}
		texts[i] = null
		if column.DataType == pglogrepl.TupleDataTypeText {
			texts[i] = string(column.Data)
		}
	}
	r := row{lsn: t.lsn, seq: uint64(len(t.rows)), xid: t.xid}
	r.setColumns(texts)
	t.rows = append(t.rows, r)
	return nil
}

// add takes a transaction's rows, unless they came before, on an earlier connection.
func (r *reference) add(rows []row, position pglogrepl.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if position > r.position {
		r.rows = append(r.rows, rows...)
		r.position = position
	}
}

func (r *reference) known() pglogrepl.LSN {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.position
}

func (r *reference) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows)
}

// all returns the rows so far. They do not change any more.
func (r *reference) all() []row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.rows)
}

// countBefore is how many of rows the server does not send again to whoever starts at position: those whose commit record
// begins before it.
func countBefore(rows []row, position pglogrepl.LSN) int {
	return sort.Search(len(rows), func(i int) bool { return rows[i].lsn >= position })
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
