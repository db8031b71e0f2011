package config

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	long := strings.Repeat("x", maxNameBytes)
	tests := []struct {
		text   string
		want   Table // zero: an error
		prints string
	}{
		{"public.custom_audit_log", Table{"public", "custom_audit_log"}, "public.custom_audit_log"},
		{"Public.Custom_Audit_Log", Table{"public", "custom_audit_log"}, "public.custom_audit_log"},
		{`"My Schema"."audit"`, Table{"My Schema", "audit"}, `"My Schema".audit`},
		{`"a""b"."c.d"`, Table{`a"b`, "c.d"}, `"a""b"."c.d"`},
		{"prüfung.ÄB", Table{"prüfung", "Äb"}, `"prüfung"."Äb"`},
		{"a$1." + long, Table{"a$1", long}, "a$1." + long},
		{"", Table{}, ""},
		{"audit", Table{}, ""},
		{"a.", Table{}, ""},
		{".a", Table{}, ""},
		{"a.b.c", Table{}, ""},
		{"a b.c", Table{}, ""},
		{"1a.b", Table{}, ""},
		{`"".b`, Table{}, ""},
		{`"a.b`, Table{}, ""},
		{"a.x" + long, Table{}, ""},
	}
	for _, test := range tests {
		var got Table
		if err := got.UnmarshalText([]byte(test.text)); (err == nil) != (test.want != Table{}) || got != test.want {
			t.Errorf("%s: %+v, error %v, want %+v", test.text, got, err, test.want)
		} else if err == nil && got.String() != test.prints {
			t.Errorf("%s: prints %s, want %s", test.text, got, test.prints)
		}
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		text   string
		want   Size // -1: an error
		prints string
	}{
		{"0", 0, "0"},
		{"1048576", 1 << 20, "1MiB"},
		{"64KiB", 64 << 10, "64KiB"},
		{"16MiB", 16 << 20, "16MiB"},
		{"16 MiB", 16 << 20, "16MiB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"1000", 1000, "1000"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"},
		{"8589934592GiB", -1, ""},
		{"9223372036854775808", -1, ""},
		{"", -1, ""},
		{"MiB", -1, ""},
		{"-1", -1, ""},
		{"1.5MiB", -1, ""},
		{"16MB", -1, ""},
		{"16M", -1, ""},
	}
	for _, test := range tests {
		var got Size
		err := got.UnmarshalText([]byte(test.text))
		switch {
		case (err != nil) != (test.want < 0):
			t.Errorf("%q: error %v", test.text, err)
		case err == nil && (got != test.want || got.String() != test.prints):
			t.Errorf("%q: %d, printed %s, want %d, printed %s", test.text, got, got, test.want, test.prints)
		}
	}
}
