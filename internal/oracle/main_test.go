// Package oracle holds the decoder against real servers of every supported version: what they say of a row, in SQL, is
// what an event must say. It also records the transcripts that the decoder's own tests replay without a server:
//
//	go test ./internal/oracle -run TestTranscripts -update
package oracle

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/decoder"
	"pgwitness/internal/embeddedpg"
	"pgwitness/internal/embeddedpg/pgtest"
	"pgwitness/internal/replication"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// everyServer runs test as a subtest against a server of each version.
func everyServer(t *testing.T, test func(t *testing.T, version int, server *embeddedpg.Server)) {
	for _, version := range embeddedpg.Versions() {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			test(t, version, pgtest.Start(t, embeddedpg.Config{
				Version:  version,
				Settings: map[string]string{"max_prepared_transactions": "10"},
			}))
		})
	}
}

// conn is a connection whose failures end the test.
type conn struct {
	t *testing.T
	*pgconn.PgConn
}

// connect connects to a database as an ordinary client.
func connect(t *testing.T, server *embeddedpg.Server, database string) conn {
	t.Helper()
	return connectWith(t, server, database, nil)
}

// connectPinned connects with the settings of a replication session.
func connectPinned(t *testing.T, server *embeddedpg.Server, database string) conn {
	t.Helper()
	return connectWith(t, server, database, replication.PinnedSettings())
}

func connectWith(t *testing.T, server *embeddedpg.Server, database string, settings map[string]string) conn {
	t.Helper()
	cfg, err := pgconn.ParseConfig(server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(cfg.RuntimeParams, settings)
	c, err := pgconn.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) }) // the test's own context has ended by then
	return conn{t, c}
}

// createDatabase makes a database of its own for a test: slots and publications belong to one.
func createDatabase(t *testing.T, server *embeddedpg.Server, name string) {
	t.Helper()
	connect(t, server, "postgres").exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'")
}

func (c conn) exec(sql string) {
	c.t.Helper()
	if _, err := c.Exec(c.t.Context(), sql).ReadAll(); err != nil {
		c.t.Fatalf("%v in %.300s", err, sql)
	}
}

// column returns the first column of a query's rows as text; a null is an empty text.
func (c conn) column(sql string) (values []string) {
	c.t.Helper()
	result := c.ExecParams(c.t.Context(), sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		c.t.Fatalf("%v in %.300s", result.Err, sql)
	}
	for _, row := range result.Rows {
		values = append(values, string(row[0]))
	}
	return values
}

// copyFrom runs a COPY FROM STDIN.
func (c conn) copyFrom(sql, data string) {
	c.t.Helper()
	if _, err := c.CopyFrom(c.t.Context(), strings.NewReader(data), sql); err != nil {
		c.t.Fatalf("%v in %s", err, sql)
	}
}

// messages reads what the slot of the database has for the publication, without moving the slot. A walsender would send
// the same: both ask the output plugin, in a session with this connection's settings.
func (c conn) messages(options string) [][]byte {
	c.t.Helper()
	const binary = 1
	result := c.ExecParams(c.t.Context(), `SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes(
		pg_catalog.current_database(), NULL, NULL, 'proto_version', '1', 'publication_names', 'pgwitness'`+options+`)`,
		nil, nil, nil, []int16{binary}).Read()
	if result.Err != nil {
		c.t.Fatal(result.Err)
	}
	var messages [][]byte
	for _, row := range result.Rows {
		messages = append(messages, row[0])
	}
	return messages
}

// createSlot makes the slot that messages reads.
func (c conn) createSlot() {
	c.t.Helper()
	c.column("SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput')")
}

// decode decodes a session's messages.
func decode(t *testing.T, cfg decoder.Config, messages [][]byte) *decoder.Batch {
	t.Helper()
	d := decoder.New(cfg)
	var batch decoder.Batch
	for i, m := range messages {
		if _, err := d.Decode(m, &batch); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if d.InTransaction() {
		t.Error("the last transaction has no end")
	}
	return &batch
}
