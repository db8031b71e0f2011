package replication

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// healthy is the answer of a server that is set up as `pgwitness init` does it, in the words of the catalog query.
const healthy = `{"version": 170006, "wal_level": "logical", "standby": false, "database": "shop", "sender_timeout": 60000,
 "wal_position": "0/2000000",
 "table": {"oid": 16385, "kind": "r", "persistence": "p", "children": false, "key": ["id"]},
 "slot": {"plugin": "pgoutput", "slot_type": "logical", "database": "shop", "temporary": false, "active": false,
  "restart_lsn": "0/1000000", "confirmed_flush_lsn": "0/1800000", "wal_status": "reserved", "safe_wal_size": null,
  "two_phase": false, "invalidation_reason": null},
 "publication": {"oid": 16400, "insert": true, "viaroot": true, "published": true,
  "member": {"oid": "16401", "prqual": null, "prattrs": null}}}`

func parseCatalog(t *testing.T, text string) *catalog {
	t.Helper()
	cat := new(catalog)
	if err := json.Unmarshal([]byte(text), cat); err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name     string
		from, to string // in healthy
		class    error
		want     string
	}{
		{"healthy", "", "", nil, ""},
		{"version 13", "170006", "130022", ErrSetup, "PostgreSQL 13"},
		{"standby", `"standby": false`, `"standby": true`, ErrSetup, "standby"},
		{"wal_level", `"wal_level": "logical"`, `"wal_level": "replica"`, ErrSetup, "set wal_level = logical"},
		{"view", `"kind": "r"`, `"kind": "v"`, ErrSetup, "not a table"},
		{"unlogged", `"persistence": "p"`, `"persistence": "u"`, ErrSetup, "SET LOGGED"},
		{"inheritance", `"children": false`, `"children": true`, ErrSetup, "inheritance"},
		{"partition that is not logged", `"children": false`, `"children": true, "unlogged": true`, ErrSetup, "partition that is unlogged"},
		{"partitions", `"kind": "r", "persistence": "p", "children": false`, `"kind": "p", "persistence": "p", "children": true`, nil, ""},
		{"partitions by their own names", `"viaroot": true`, `"viaroot": false`, nil, ""},
		{"table not published", `"published": true`, `"published": false`, ErrSetup, "ADD TABLE"},
		{"no inserts", `"insert": true`, `"insert": false`, ErrSetup, "does not publish inserts"},
		{"row filter", `"prqual": null`, `"prqual": "{OPEXPR}"`, ErrSetup, "leaves out rows"},
		{"column list", `"prattrs": null`, `"prattrs": "1 2"`, ErrSetup, "leaves out rows or columns"},
		{"whole schema published", `{"oid": "16401", "prqual": null, "prattrs": null}`, "null", nil, ""},
		{"other plugin", "pgoutput", "test_decoding", ErrSetup, "test_decoding"},
		{"physical slot", `"slot_type": "logical"`, `"slot_type": "physical"`, ErrSetup, "physical"},
		{"slot of another database", `"logical", "database": "shop"`, `"logical", "database": "hr"`, ErrSetup, "belongs to database hr"},
		{"temporary slot", `"temporary": false`, `"temporary": true`, ErrSetup, "temporary"},
		{"two-phase slot", `"two_phase": false`, `"two_phase": true`, ErrSetup, "two-phase"},
		{"lost slot", `"reserved"`, `"lost"`, ErrEvidence, "rows after 0/1800000"},
		{"invalidated slot", `"invalidation_reason": null`, `"invalidation_reason": "rows_removed"`, ErrEvidence, "rows_removed"},
	}
	at := target{slot: "pgwitness", publication: "pgwitness", schema: "public", table: "custom_audit_log"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.from != "" && strings.Count(healthy, test.from) != 1 {
				t.Fatalf("%q stands in the catalog %d times", test.from, strings.Count(healthy, test.from))
			}
			err := parseCatalog(t, strings.Replace(healthy, test.from, test.to, 1)).check(at)
			if !errors.Is(err, test.class) || (err == nil) != (test.class == nil) {
				t.Fatalf("check: %v, want the class %v", err, test.class)
			}
			if err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("check: %q does not say %q", err, test.want)
			}
		})
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	at := target{slot: "witness_slot", publication: "witness_pub", schema: "public", table: "custom_audit_log"}
	for part, want := range map[string]string{"table": "public.custom_audit_log", "publication": "witness_pub", "slot": "witness_slot"} {
		var parts map[string]json.RawMessage
		if err := json.Unmarshal([]byte(healthy), &parts); err != nil {
			t.Fatal(err)
		}
		parts[part] = json.RawMessage("null")
		text, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		cat := parseCatalog(t, string(text))
		if err := cat.check(at); !errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), want) {
			t.Errorf("without the %s, check: %v, want an ErrSetup that names %s", part, err, want)
		}
	}
}

func TestContinues(t *testing.T) {
	was := Origin{SystemID: "7", Timeline: 2, Database: "shop", Slot: "pgwitness", Publication: "1/2"}
	const confirmed, server = 0x1000, 0x2000
	tests := []struct {
		name         string
		now          func(*Origin)
		slot, server uint64
		want         string // in the error; empty for none
	}{
		{"as it was left", func(*Origin) {}, confirmed, server, ""},
		{"the slot's last confirmation was lost in a crash", func(*Origin) {}, confirmed - 1, server, ""},
		{"another cluster", func(o *Origin) { o.SystemID = "8" }, confirmed, server, "another cluster"},
		{"an earlier timeline", func(o *Origin) { o.Timeline = 1 }, confirmed, server, "does not descend from timeline 2"},
		{"another database", func(o *Origin) { o.Database = "hr" }, confirmed, server, "own state_dir"},
		{"a slot that was moved", func(*Origin) {}, confirmed + 1, server, "past 0/1000"},
		{"a server that was restored", func(*Origin) {}, confirmed - 1, confirmed - 1, "restored"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewStream(Config{
				Publication: "p",
				Previous:    func() (*Mark, error) { return &Mark{Origin: was, Confirmed: confirmed}, nil },
			})
			if err := s.recall(); err != nil {
				t.Fatal(err)
			}
			now := was
			test.now(&now)
			err := cmp.Or(s.sameServer(now, lsn(test.server)), s.descends(now, nil), s.continues(now, lsn(test.slot)))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("continues: %v", err)
			case test.want != "" && (!errors.Is(err, ErrEvidence) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("continues: %v, want an ErrEvidence that says %q", err, test.want)
			}
		})
	}
}

func TestStatusEvery(t *testing.T) {
	s := NewStream(Config{StatusInterval: 10 * time.Second, ReceiveTimeout: time.Minute})
	for sender, want := range map[time.Duration]time.Duration{
		0:                10 * time.Second, // turned off
		time.Minute:      10 * time.Second,
		3 * time.Second:  time.Second,
		30 * time.Second: 10 * time.Second,
	} {
		if got := s.statusEvery(sender); got != want {
			t.Errorf("wal_sender_timeout %s: a status every %s, want %s", sender, got, want)
		}
	}
}
