package decoder_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgwitness/decoder"
)

func TestLSN(t *testing.T) {
	for _, c := range []struct {
		text string
		want decoder.LSN
	}{
		{"0/0", 0},
		{"0/1", 1},
		{"0/16B3748", 0x16B3748},
		{"0/FFFFFFFF", math.MaxUint32},
		{"1/0", 1 << 32},
		{"16/B3748", 0x16_000B3748},
		{"ABCDEF01/23456789", 0xABCDEF01_23456789},
		{"FFFFFFFF/FFFFFFFF", math.MaxUint64},
	} {
		got, err := decoder.ParseLSN(c.text)
		if err != nil || got != c.want {
			t.Errorf("ParseLSN(%s) is %d, %v; want %d", c.text, got, err, c.want)
		}
		if c.want.String() != c.text {
			t.Errorf("%d prints as %s, want %s", c.want, c.want, c.text)
		}
	}
	for text, want := range map[string]decoder.LSN{"016b3748/0": 0x16B3748 << 32, "00000000/016B3748": 0x16B3748, "a/bc": 0xA_000000BC} {
		if got, err := decoder.ParseLSN(text); err != nil || got != want {
			t.Errorf("ParseLSN(%s) is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestNotAnLSN(t *testing.T) {
	for _, text := range []string{"", "/", "0", "0/", "/0", "0/0/0", "0/G", "-1/0", "+1/0", "0x1/0", "0/1_0", " 0/0", "0/0 ",
		"0/123456789", "123456789/0", "000000000/0", "0\\0", "0/٣"} {
		if got, err := decoder.ParseLSN(text); err == nil {
			t.Errorf("ParseLSN(%q) is %s", text, got)
		} else if !strings.Contains(err.Error(), "16/B3748") {
			t.Errorf("the error for %q does not say what is wanted: %v", text, err)
		}
	}
}

func TestPositionInJSON(t *testing.T) {
	want := decoder.Position{LSN: 0x16B3748, Seq: math.MaxUint64}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"lsn":"0/16B3748","seq":18446744073709551615}` {
		t.Fatalf("%s, %v", text, err)
	}
	var got decoder.Position
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("read back as %s, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"lsn":"12","seq":0}`), &got); err == nil {
		t.Error(`"12" was taken for an LSN`)
	}
}

func TestPositionOrder(t *testing.T) {
	ascending := []decoder.Position{{}, {Seq: 1}, {LSN: 1}, {LSN: 1, Seq: 1}, {LSN: 1, Seq: 2}, {LSN: 2},
		{LSN: math.MaxInt64, Seq: 9}, {LSN: math.MaxUint64}, {LSN: math.MaxUint64, Seq: math.MaxUint64}}
	for i, p := range ascending {
		for j, q := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := p.Compare(q); got != want {
				t.Errorf("%s compared with %s is %d, want %d", p, q, got, want)
			}
		}
		if p.IsZero() != (i == 0) {
			t.Errorf("IsZero of %s is %t", p, p.IsZero())
		}
	}
	if got := (decoder.Position{LSN: 0x16B3748, Seq: 12}).String(); got != "0/16B3748/12" {
		t.Errorf("a position prints as %s", got)
	}
}

func FuzzLSN(f *testing.F) {
	for _, seed := range []string{"0/0", "16/B3748", "FFFFFFFF/FFFFFFFF", "0/16b3748", "00000000/00000001", "1/", "0/123456789", "x/y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lsn, err := decoder.ParseLSN(text)
		if err != nil {
			return
		}
		again, err := decoder.ParseLSN(lsn.String())
		if err != nil || again != lsn {
			t.Fatalf("%q is %s, which is %d, %v", text, lsn, again, err)
		}
		// PostgreSQL prints no leading zeros, and capitals.
		plain := func(s string) string {
			if s = strings.TrimLeft(s, "0"); s == "" {
				return "0"
			}
			return strings.ToUpper(s)
		}
		high, low, _ := strings.Cut(text, "/")
		if want := plain(high) + "/" + plain(low); lsn.String() != want {
			t.Fatalf("%q prints as %s, want %s", text, lsn, want)
		}
	})
}
