//go:build unix

package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/internal/witnesstest"
)

// TestLog is a run's life in lines of the log: a start, the database away and back, the sink away and back, a second process
// that stands by and takes over, a stop. Each change of state is one line, and no line holds a value of a row or a secret.
func TestLog(t *testing.T) {
	t.Parallel()
	d := witnesstest.NewDatabase(t, start(t, 0, nil))
	proxy := witnesstest.NewProxy(t, d.Server)
	cfg := d.Config(t)
	cfg.DSN = d.DSNThrough(proxy)
	files := filepath.Join(cfg.Dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.Sinks = "[{type: file, path: " + files + "/audit.jsonl}, {type: stdout, only_tables: another_table}]"
	cfg.Environ = []string{"PGWITNESS_LOG_LEVEL=debug", "PGWITNESS_HTTP_LISTEN=127.0.0.1:0"}
	const canary = "Kanarienvogel"
	row := func() {
		t.Helper()
		d.Exec(t, "INSERT INTO your_table (column_name) VALUES ('"+canary+"')")
		d.Exec(t, "INSERT INTO custom_audit_log (event_type, user_name, table_name, row_data) VALUES "+
			"('"+canary+"', '"+canary+"', '"+canary+"', '{\"id\": \""+canary+"\"}')")
	}

	first := witnesstest.Run(t, cfg)
	row()
	d.AwaitConfirmed(t, soon)

	proxy.Refuse()
	proxy.Reset()
	first.AwaitLog(t, "connection refused", soon)
	row()
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	d.AwaitConfirmed(t, soon)

	if err := os.Rename(files, files+".away"); err != nil {
		t.Fatal(err)
	}
	row()
	first.AwaitLog(t, "the sink fails", soon)
	if err := os.Rename(files+".away", files); err != nil {
		t.Fatal(err)
	}
	d.AwaitConfirmed(t, soon)

	second := witnesstest.Run(t, cfg)
	second.AwaitLog(t, "standing by", soon)
	first.AwaitLog(t, "the slot can be watched again", soon)
	first.Signal(t, syscall.SIGTERM)
	expectExit(t, first, exitDone)
	row()
	second.AwaitLog(t, `"msg":"streaming"`, soon)
	d.AwaitConfirmed(t, soon)
	second.Signal(t, syscall.SIGTERM)
	expectExit(t, second, exitDone)

	begins := []string{
		"INFO starting: connecting to the database [sinks slot source table version]",
		"INFO the sink has a filter: it will not hold everything [sink]",
		"INFO serving /metrics, /healthz, /readyz and /status, and a page for browsers [address]",
	}
	ends := []string{
		"INFO stopping: what is in hand is finished and confirmed first [grace reason]",
		"INFO stopped [confirmed]",
	}
	for name, c := range map[string]struct {
		process *witnesstest.Process
		want    []string
	}{
		"first": {first, slices.Concat(begins, []string{
			"INFO streaming [from slot took_over]",
			"WARN no stream; trying again until it works [error reason]", // that it ends, and that it is refused then
			"INFO streaming [after from slot took_over]",
			"ERROR the sink fails: nothing is confirmed and nothing lost; trying again until it works [error sink]",
			"INFO the sink works again: going on where it stopped [after sink]",
		}, ends)},
		"second": {second, slices.Concat(begins, []string{
			"INFO standing by: another consumer streams from the slot; taking over when it ends [reason slot]",
			"INFO streaming [after from slot took_over]",
		}, ends)},
	} {
		said := c.process.Stderr()
		lines, watching := linesOf(t, said)
		if diff := cmp.Diff(c.want, lines); diff != "" {
			t.Errorf("the log of the %s process (-want +got):\n%s\n%s", name, diff, said)
		}
		if name == "first" && cmp.Diff([]string{
			"WARN the slot cannot be watched: its metrics stand still until it can; the stream does not need them [error]",
			"INFO the slot can be watched again: its metrics move [after]",
		}, watching) != "" {
			t.Errorf("the log says of watching the slot %q:\n%s", watching, said)
		}
		for _, secret := range []string{canary, witnesstest.RolePassword} {
			if strings.Contains(said, secret) {
				t.Errorf("%q is on standard error of the %s process:\n%s", secret, name, said)
			}
		}
	}
	expectTable(t, d, readFile(t, witnesstest.Config{Dir: files}))
}

// linesOf are the lines of a log, each as its level, its message and the keys beside them, in their order and without
// repetitions of the one before: the database goes in several words. Those of the second connection, which come whenever it
// looks, are watching.
func linesOf(t *testing.T, log string) (lines, watching []string) {
	t.Helper()
	for text := range strings.Lines(log) {
		var attributes map[string]any
		if err := json.Unmarshal([]byte(text), &attributes); err != nil {
			t.Errorf("%v: %s", err, text)
			continue
		}
		line := attributes["level"].(string) + " " + attributes["msg"].(string)
		var keys []string
		for key := range attributes {
			if !slices.Contains([]string{"time", "level", "msg"}, key) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		line += " [" + strings.Join(keys, " ") + "]"
		if strings.Contains(line, "watched") {
			watching = append(watching, line)
		} else {
			lines = append(lines, line)
		}
	}
	return slices.Compact(lines), slices.Compact(watching)
}
