package eventline

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRender(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	time.Local = time.FixedZone("", 3600)

	audit := func(row string) string {
		return `{"kind":"audit","op":"insert","commit_time":"2026-11-23T08:30:00.123456Z","row":` + row + `}`
	}
	insert := audit(`{"id":1,"event_type":"INSERT","user_name":"demo_web","table_name":"customers","row_data":{"id": 7, "city": "Kraków", "name": "Zoë", "note": null}}`)
	tests := []struct {
		name    string
		line    string
		width   int
		colours bool
		want    string
	}{
		{"insert", insert, 100, false, "09:30:00.123  + INSERT  customers    demo_web      #7 city Kraków, name Zoë"},
		{"update", audit(`{"event_type":"UPDATE","user_name":"demo_desk","table_name":"orders","row_data":{"id": 7, "new": {"status": "paid", "total": 12345678901234567890.10}, "old": {"status": "open", "total": null}}}`),
			100, false, "09:30:00.123  ~ UPDATE  orders       demo_desk     #7 status open → paid, total null → 12345678901…"},
		{"delete", audit(`{"event_type":"DELETE","user_name":"demo_web","table_name":"customers","row_data":{"id": 7, "name": "Zoë"}}`),
			100, false, "09:30:00.123  - DELETE  customers    demo_web      #7 name Zoë"},
		{"the seed's insert", audit(`{"event_type":"INSERT","user_name":"demo_desk","table_name":"your_table","row_data":{"id": 1, "event_type": "INSERT", "column_name": "tea"}}`),
			100, false, "09:30:00.123  + INSERT  your_table   demo_desk     #1 column_name tea"},
		{"the seed's delete", audit(`{"event_type":"DELETE","user_name":"demo_desk","table_name":"your_table","row_data":{"id": null, "event_type": "DELETE", "column_name": null}}`),
			100, false, "09:30:00.123  - DELETE  your_table   demo_desk"},
		{"tampering", `{"kind":"tamper","op":"truncate","commit_time":"2026-11-23T08:30:00.123456Z","row":null}`,
			100, false, "09:30:00.123  ! TRUNCATE  of the audit table itself"},
		{"the capture's update", audit(`{"event_type":"UPDATE","user_name":"demo_desk","schema_name":"sales","table_name":"orders","row_data":{"v": 2, "id": 7, "key": {"id": 7}, "event_type": "UPDATE", "changed": ["total", "note"], "redacted": [], "old": {"id": 7, "note": null, "total": 1, "big": {"$omitted": {"bytes": 20002}}}, "new": {"id": 7, "note": "x", "total": 2, "big": {"$omitted": {"bytes": 20003}}}}}`),
			100, false, "09:30:00.123  ~ UPDATE  sales.orders  demo_desk     #7 note null → x, total 1 → 2"},
		{"the capture's insert", audit(`{"event_type":"INSERT","user_name":"u","schema_name":"public","table_name":"lines","row_data":{"v": 2, "key": {"a": 1, "b": "x"}, "event_type": "INSERT", "changed": null, "redacted": [], "old": null, "new": {"a": 1, "b": "x", "c": true, "d": null}}}`),
			100, false, "09:30:00.123  + INSERT  lines        u             #a=1,b=x c true"},
		{"the capture's delete", audit(`{"event_type":"DELETE","user_name":"u","table_name":"t","row_data":{"v": 2, "key": {"a": 1}, "old": {"a": 1, "c": {"x": [1]}}, "new": null}}`),
			100, false, `09:30:00.123  - DELETE  t            u             #1 c {"x": [1]}`},
		{"the capture's failure", audit(`{"event_type":"INSERT","user_name":"u","table_name":"t","row_data":{"v": 2, "error": {"message": "m", "sqlstate": "22P05"}, "event_type": "INSERT"}}`),
			120, false, `09:30:00.123  + INSERT  t            u             not audited: {"message": "m", "sqlstate": "22P05"}`},
		{"a trigger of one's own", audit(`{"event_type":"LOGIN","user_name":"u","table_name":"t","row_data":{"new": "x", "changed": 1, "id": null, "who": "Zoë"}}`),
			100, false, "09:30:00.123    LOGIN   t            u             who Zoë"},
		{"incomplete", `{"kind":"audit","op":"insert","incomplete":true,"commit_time":"2026-11-23T08:30:00.123456Z","row":{"event_type":"DELETE","user_name":"u","table_name":"t","row_data":{"id": null}}}`,
			100, false, "09:30:00.123  - DELETE  t            u             (the trigger does not say what)"},
		{"retention", `{"kind":"retention","op":"delete","commit_time":"2026-11-23T08:30:00.123456Z","row":{"event_type":"INSERT","user_name":"u","row_data":{"id": 3}}}`,
			100, false, "09:30:00.123  · DELETE  expired in the audit table  u             #3"},
		{"what would steer the terminal", audit(`{"event_type":"INSERT","user_name":"\u001b[2Ju","table_name":"t\r\n","row_data":{"id": 1, "a\u0007": "\u009b31mred\u202e"}}`),
			100, false, "09:30:00.123  + INSERT  t            [2Ju          #1 a 31mred"},
		{"wide characters", audit(`{"event_type":"INSERT","user_name":"u","table_name":"注文","row_data":{"名": "東京都"}}`),
			45, false, "09:30:00.123  + INSERT  注文         名 東…"},
		{"no object in row_data", audit(`{"event_type":"INSERT","user_name":"u","table_name":"t","row_data":[1]}`),
			100, false, "09:30:00.123  + INSERT  t            u"},
		{"without the user", insert, 50, false, "09:30:00.123  + INSERT  customers    #7 city Kra…"},
		{"very narrow", insert, 20, false, "09:30:00.123  + IN…"},
		{"hardly there", insert, 2, false, "…"},
		{"not there", insert, 1, false, ""},
		{"colours", insert, 50, true, "\x1b[90m09:30:00.123\x1b[0m  \x1b[32m+ INSERT\x1b[0m  \x1b[1mcustomers\x1b[0m    #7 city Kra…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e Event
			if err := json.Unmarshal([]byte(test.line), &e); err != nil {
				t.Fatal(err)
			}
			got := e.Render(test.width, test.colours)
			if got != test.want {
				t.Errorf("\n got: %q\nwant: %q", got, test.want)
			}
			if columns := utf8.RuneCountInString(got); !test.colours && columns >= test.width && test.width > 0 {
				t.Errorf("%d columns of %d: the last one makes some terminals begin a new line", columns, test.width)
			}
		})
	}
}
