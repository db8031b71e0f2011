package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgwitness/internal/config"
)

// rowData are the members of a row_data, each as it stands there, with a space after colons and commas as jsonb has it.
func rowData(text string) map[string]string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return map[string]string{"key": fmt.Sprintf("%v: %s", err, text)}
	}
	plain := map[string]string{}
	for name, value := range members {
		plain[name] = string(value)
	}
	return plain
}

// attachTo attaches public.t as a has it.
func attachTo(t *testing.T, d *Database, a Attach) {
	t.Helper()
	a.Tables = []config.Table{{Schema: "public", Name: "t"}}
	apply(t, d, func() (Script, error) { return d.Attach(t.Context(), a) })
}

// testRedaction checks that what must not be seen is seen nowhere, in both modes and for rows small and large, also when
// its column was renamed since; and that a mask is the HMAC of the value's text with the key that was set.
func testRedaction(t *testing.T, s *testServer) {
	cases := []struct {
		mode string
		key  []byte // shorter than a block of SHA-256, as long as one, and longer
		size int    // of values, in bytes: those beyond 4096 are rendered column by column
	}{
		{"row", []byte("the owner's key"), 10},
		{"row", make([]byte, 64), 6000},
		{"statement", []byte(strings.Repeat("key", 50)), 10},
		{"statement", []byte("another key"), 6000},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%d bytes", c.mode, c.size), func(t *testing.T) {
			database := s.installed(t)
			d, conn := s.open(t, database), s.connect(t, database)
			exec(t, conn, fmt.Sprintf(`SELECT pgwitness.set_mask_key('\x%x')`, c.key))
			exec(t, conn, `CREATE TABLE t (id int PRIMARY KEY, secret text, bad json, pan text, amount numeric, note text)`)
			attachTo(t, d, Attach{Mode: c.mode, Exclude: []string{"secret", "bad"}, Mask: []string{"pan", "amount"}})
			secret, pan := "swordfish"+strings.Repeat("s", c.size), "4111 1111"+strings.Repeat("1", c.size)
			exec(t, conn, fmt.Sprintf(`INSERT INTO t VALUES (1, '%s', '{"a": "\u0000"}', '%s', 12.50, 'n'); UPDATE t SET secret = 'more ' || secret, pan = '4222';
							UPDATE t SET secret = 'swordfish'; UPDATE t SET amount = NULL; DELETE FROM t`, secret, pan))
			text := ask(t, conn, "SELECT string_agg(row_data::text, E'\\n' ORDER BY id) FROM custom_audit_log")
			for _, hidden := range []string{"swordfish", "4111", "4222", "12.50", `\u0000`} {
				if strings.Contains(text, hidden) {
					t.Errorf("%q is seen in\n%s", hidden, text)
				}
			}
			rows := strings.Split(text, "\n")
			if len(rows) != 5 {
				t.Fatalf("want 5 audit rows:\n%s", text)
			}
			mask := func(value string) string {
				mac := hmac.New(sha256.New, c.key)
				mac.Write([]byte(value))
				return `{"$masked": "hmac-sha256:` + hex.EncodeToString(mac.Sum(nil)) + `"}`
			}
			want := fmt.Sprintf(`{"id": 1, "pan": %s, "note": "n", "amount": %s}`, mask(pan), mask("12.50"))
			for i, want := range []map[string]string{
				{"new": want, "redacted": `["amount", "bad", "pan", "secret"]`},
				{"old": want, "new": strings.Replace(want, mask(pan), mask("4222"), 1), "changed": `["pan"]`},
				{"changed": `[]`},
				{"changed": `["amount"]`, "new": fmt.Sprintf(`{"id": 1, "pan": %s, "note": "n", "amount": null}`, mask("4222"))},
				{"new": "null"},
			} {
				got := rowData(rows[i])
				for member, value := range want {
					if got[member] != value {
						t.Errorf("row %d: %s is\n%s, want\n%s", i, member, got[member], value)
					}
				}
			}
			exec(t, conn, `ALTER TABLE t RENAME secret TO hidden; INSERT INTO t VALUES (2, 'swordfish', NULL, 'p', 1, 'n')`)
			if got := ask(t, conn, "SELECT row_data::text FROM custom_audit_log ORDER BY id DESC LIMIT 1"); strings.Contains(got, "swordfish") ||
				!strings.Contains(got, `"redacted": ["amount", "bad", "hidden",`) {
				t.Errorf("after its column was renamed, the secret is seen, or it is not told what was left out: %s", got)
			}
		})
	}
}

// testOptions checks images of what changed, the size cap, and what becomes of a row that cannot be audited.
func testOptions(t *testing.T, s *testServer) {
	const unrenderable = `INSERT INTO t VALUES (7, '{"a": "\u0000"}', 'x')`
	for _, mode := range []string{"row", "statement"} {
		t.Run(mode, func(t *testing.T) {
			database := s.installed(t)
			d, conn := s.open(t, database), s.connect(t, database)
			last := func(member string) string {
				return rowData(ask(t, conn, "SELECT row_data::text FROM custom_audit_log ORDER BY id DESC LIMIT 1"))[member]
			}
			exec(t, conn, "CREATE TABLE t (id int PRIMARY KEY, j json, s text)")

			attachTo(t, d, Attach{Mode: mode, Images: "changed", MaxValue: 100})
			exec(t, conn, "INSERT INTO t VALUES (1, '{}', repeat('ö', 51)); UPDATE t SET s = repeat('ö', 50)")
			if got, want := last("old")+last("new"), `{"s": {"$omitted": {"bytes": 102}}}{"s": "`+strings.Repeat("ö", 50)+`"}`; got != want {
				t.Errorf("images are %s, want %s", got, want)
			}
			if got := last("redacted"); got != `["s"]` {
				t.Errorf("redacted is %s", got)
			}

			if code := try(t, conn, unrenderable); code != "22P05" {
				t.Errorf("a row that cannot be audited: SQLSTATE %q, want 22P05", code)
			}
			attachTo(t, d, Attach{Fail: "open"})
			exec(t, conn, unrenderable)
			if got, want := last("error"), `{"message": "unsupported Unicode escape sequence", "sqlstate": "22P05"}`; got != want {
				t.Errorf("error is %s, want %s", got, want)
			}
			attachTo(t, d, Attach{Fail: "closed", Exclude: []string{"j"}})
			exec(t, conn, "DELETE FROM t")
			if got, want := last("key"), `{"id": 7}`; got != want {
				t.Errorf("key is %s, want %s", got, want)
			}
		})
	}
}
