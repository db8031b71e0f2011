package doctor

import (
	"fmt"
	"slices"
)

var performanceChecks = []check{
	{"gin-index", Performance, tablePart, "A GIN index on row_data slows every audited write down. Searches are served as well where the events are delivered to.", func(f *facts) finding {
		for _, i := range f.table.Indexes {
			if i.Method == "gin" && slices.Contains(i.Columns, "row_data") {
				return warning("DROP INDEX CONCURRENTLY "+i.Name+";", "index %s is one", i.Name)
			}
		}
		return ok("row_data has no GIN index")
	}},
	{"index-count", Performance, tablePart, "Each index is written with each audit row, in the application's transaction.", func(f *facts) finding {
		const many = 4
		if n := len(f.table.Indexes); n > many {
			var names []string
			for _, i := range f.table.Indexes {
				if !i.Primary {
					names = append(names, i.Name)
				}
			}
			return warning("DROP INDEX CONCURRENTLY for those whose idx_scan in pg_stat_user_indexes stays 0", "beside the primary key: %s", few(names))
		}
		return ok("%d in all", len(f.table.Indexes))
	}},
	{"invalid-indexes", Performance, tablePart, "An invalid index is written with each row and helps no query.", func(f *facts) finding {
		for _, i := range f.table.Indexes {
			if !i.Valid {
				return warning("REINDEX INDEX CONCURRENTLY "+i.Name+";", "index %s is invalid", i.Name)
			}
		}
		return ok("every index is valid")
	}},
	{"table-size", Performance, tablePart, "A large table that is not partitioned is slow to vacuum, to search and to prune, and only ever grows.", func(f *facts) finding {
		const large = 10 * gibi
		text := fmt.Sprintf("%s is %s", f.table.Name, size(f.table.bytes()))
		if rows, known := f.table.estimate(); known {
			text += fmt.Sprintf(" with about %s", count(rows, "row"))
			if r := f.rows; r != nil && r.Oldest != nil {
				const day = 86_400
				if days := *r.Oldest / day; days > 1 {
					text += fmt.Sprintf(", growing by %s a day", size(int64(float64(f.table.bytes())/days)))
				}
			}
		}
		if f.table.bytes() >= large && !f.table.Partitioned {
			return warning(f.command("audit install --apply"), "%s, not partitioned", text)
		}
		return ok("%s", text)
	}},
	{"autovacuum", Performance, tablePart, "Without it statistics grow stale, and the table must be frozen all at once one day.", func(f *facts) finding {
		if f.server.Settings["autovacuum"].Value != "on" {
			return warning("ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();", "autovacuum is off on the server")
		}
		for _, r := range f.table.Relations {
			if r.AutovacuumOff {
				return warning(fmt.Sprintf("ALTER TABLE %s RESET (autovacuum_enabled);", r.Name), "autovacuum is off for %s", r.Name)
			}
		}
		return ok("autovacuum is on")
	}},
	{"replica-identity", Performance, tablePart, "REPLICA IDENTITY FULL writes each whole old row into the WAL when audit rows are removed.", func(f *facts) finding {
		for _, r := range f.table.Relations {
			if r.FullIdentity && len(f.table.Key) > 0 {
				return warning(fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY DEFAULT;", r.Name), "%s has REPLICA IDENTITY FULL, and a primary key that would do", r.Name)
			}
		}
		return ok("the replica identity is small")
	}},
}

// estimate is the planner's number of rows; false if some of the table was never vacuumed or analysed.
func (t *table) estimate() (rows int64, known bool) {
	for _, r := range t.Relations {
		switch {
		case r.Kind != "r" || r.HeapBytes == 0:
		case r.Rows == nil:
			return 0, false
		default:
			rows += *r.Rows
		}
	}
	return rows, rows > 0
}
