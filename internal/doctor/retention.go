package doctor

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var retentionChecks = []check{
	{"oldest-row", Retention, rowPart, "What is kept for longer than it must be is a liability too.", func(f *facts) finding {
		if f.rows.Oldest == nil {
			return ok("there is no row yet")
		}
		const long = 400 * 86_400
		text := fmt.Sprintf("the first row is %s old", age(max(0, *f.rows.Oldest)))
		if *f.rows.Oldest > long && !f.retention {
			return warning(f.command("audit retention --keep 12mo"), "%s, and nothing removes rows", text)
		}
		return ok("%s", text)
	}},
	{"retention-run", Retention, retentionPart, "Nothing removes old rows, and nothing makes partitions ahead. It is made for cron or a timer.", func(f *facts) finding {
		const grace = 62 * 86_400
		switch {
		case f.retention:
			return ok("`pgwitness audit retention` has removed rows within two months")
		case f.rows == nil:
			return f.absent[rowPart]
		case f.rows.Oldest == nil || *f.rows.Oldest < grace:
			return ok("there are no rows yet that are older than two months")
		}
		return warning(f.command("audit retention --keep 12mo --apply"), "retention has removed nothing within two months")
	}},
	{"partitioned", Retention, tablePart, "Old rows can only be deleted one by one, which is slow and leaves bloat; a partition is dropped in a moment.", func(f *facts) finding {
		const large = gibi
		switch {
		case f.table.Partitioned:
			return ok("%s is partitioned", f.table.Name)
		case f.table.bytes() < large:
			return ok("%s is small", f.table.Name)
		}
		return warning(f.command("audit install --apply"), "%s is %s and not partitioned", f.table.Name, size(f.table.bytes()))
	}},
	{"partitions-ahead", Retention, tablePart, "Rows without a partition of their own go to the default one, or fail with the application's write where there is none.", partitionsAhead},
	{"default-partition", Retention, tablePart, "Rows in the default partition cannot be dropped by the month, and keep partitions for their time from being made.", func(f *facts) finding {
		if !f.table.Partitioned {
			return skipped("%s is not partitioned", f.table.Name)
		}
		for _, r := range f.table.Relations {
			switch {
			case !r.Default:
				continue
			case r.HeapBytes == 0:
				return ok("%s is empty", r.Name)
			case f.rows == nil:
				return unknown(asAdministrator, "%s may hold rows, and role %s may not read it", r.Name, f.server.User)
			case f.rows.Stranded == 0:
				return ok("%s is empty", r.Name)
			}
			some := count(f.rows.Stranded, "row")
			if f.rows.Stranded == strandedMost {
				some += " or more"
			}
			return problem(f.command("audit retention --keep forever --apply"), "%s holds %s", r.Name, some)
		}
		return warning(fmt.Sprintf("CREATE TABLE %s PARTITION OF %s DEFAULT; ALTER TABLE %[1]s OWNER TO %[3]s; SELECT pgwitness.guard(%[4]s);",
			f.table.DefaultName, f.table.Name, f.table.Owner.Quoted, literal(f.table.DefaultName)),
			"there is no default partition: a row that finds no partition fails")
	}},
	{"replaced-table", Retention, tablePart, "The rows from before `audit install` are kept there, and nothing removes them.", func(f *facts) finding {
		if f.table.Replaced != nil {
			return warning("once its rows need not be kept any more: DROP TABLE "+*f.table.Replaced+";", "%s is still there", *f.table.Replaced)
		}
		return ok("no table that was replaced is left")
	}},
}

var bounds = regexp.MustCompile(`^FOR VALUES FROM \((MINVALUE|'[^']+')\) TO \((MAXVALUE|'[^']+')\)$`)

// span is the time that a partition is for; false if it is not for a span of time.
func (r relation) span() (from, to time.Time, known bool) {
	match := bounds.FindStringSubmatch(r.Bound)
	if match == nil {
		return from, to, false
	}
	from, fromOK := bound(match[1])
	to, toOK := bound(match[2])
	return from, to, fromOK && toOK
}

// bound reads one end of a span, as the server writes it under DateStyle ISO and TimeZone UTC.
func bound(text string) (time.Time, bool) {
	const far = 1 << 36 // seconds
	switch text {
	case "MINVALUE":
		return time.Unix(-far, 0), true
	case "MAXVALUE":
		return time.Unix(far, 0), true
	}
	for _, layout := range []string{"2006-01-02 15:04:05-07", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, strings.Trim(text, "'")); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// partitionsAhead looks for the partitions of now and of a month from now.
func partitionsAhead(f *facts) finding {
	if !f.table.Partitioned {
		return skipped("%s is not partitioned", f.table.Name)
	}
	soon := f.now.AddDate(0, 1, 0)
	now, ahead, spans := false, false, 0
	var last time.Time
	for _, r := range f.table.Relations {
		from, to, known := r.span()
		if !known {
			continue
		}
		spans++
		now = now || !f.now.Before(from) && f.now.Before(to)
		ahead = ahead || !soon.Before(from) && soon.Before(to)
		if to.After(last) {
			last = to
		}
	}
	fix := f.command("audit retention --keep forever --apply")
	switch {
	case spans == 0:
		return problem(fix, "there is no partition for a span of time")
	case !now:
		return problem(fix, "there is no partition for today")
	case !ahead:
		return warning(fix, "there is no partition for a month from now: the last one ends on %s", last.UTC().Format(time.DateOnly))
	}
	return ok("partitions are there until %s", last.UTC().Format(time.DateOnly))
}
