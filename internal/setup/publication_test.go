package setup

import (
	"testing"
)

const everything = "insert update delete truncate"

// What init publishes, the user's own statements must survive.
func TestUpdateAndDeleteNeverFail(t *testing.T) {
	const partitions = `CREATE TABLE first PARTITION OF audit FOR VALUES FROM (0) TO (10);
		CREATE TABLE second PARTITION OF audit FOR VALUES FROM (10) TO (30) PARTITION BY RANGE (id);
		CREATE TABLE second_a PARTITION OF second FOR VALUES FROM (10) TO (20);`
	tests := []struct {
		name  string
		table string
		want  string
		since int // the first version that can make the table
	}{
		{"primary key", seedTable, everything, 0},
		{"no key", "CREATE TABLE audit (id int, note text)", "insert truncate", 0},
		{"unique index alone", "CREATE TABLE audit (id int NOT NULL UNIQUE, note text)", "insert truncate", 0},
		{"deferrable key", "CREATE TABLE audit (id int PRIMARY KEY DEFERRABLE, note text)", "insert truncate", 0},
		{"full", "CREATE TABLE audit (id int, note text); ALTER TABLE audit REPLICA IDENTITY FULL", everything, 0},
		{"nothing", seedTable + "ALTER TABLE audit REPLICA IDENTITY NOTHING", "insert truncate", 0},
		{"index", "CREATE TABLE audit (id int NOT NULL, note text); CREATE UNIQUE INDEX i ON audit (id); ALTER TABLE audit REPLICA IDENTITY USING INDEX i", everything, 0},
		{"index that is gone", seedTable + "CREATE UNIQUE INDEX i ON audit (id); ALTER TABLE audit REPLICA IDENTITY USING INDEX i; DROP INDEX i", "insert truncate", 0},
		{"full with a stored column", "CREATE TABLE audit (id int, note text, twice int GENERATED ALWAYS AS (id * 2) STORED); ALTER TABLE audit REPLICA IDENTITY FULL", everything, 0},
		{"full with a virtual column", "CREATE TABLE audit (id int, note text, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL); ALTER TABLE audit REPLICA IDENTITY FULL", "insert truncate", 18},
		{"index on a stored column", "CREATE TABLE audit (id int, note text, twice int GENERATED ALWAYS AS (id * 2) STORED NOT NULL); CREATE UNIQUE INDEX i ON audit (twice); ALTER TABLE audit REPLICA IDENTITY USING INDEX i", everything, 0},
		{"partitioned with key", "CREATE TABLE audit (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);" + partitions, everything, 0},
		{"partitioned without key", "CREATE TABLE audit (id int, note text) PARTITION BY RANGE (id);" + partitions, "insert truncate", 0},
		{"partitioned, only its partitions with keys", "CREATE TABLE audit (id int, note text) PARTITION BY RANGE (id);" + partitions +
			"ALTER TABLE first ADD PRIMARY KEY (id); ALTER TABLE second ADD PRIMARY KEY (id)", "insert truncate", 0},
		{"partitioned, one partition with nothing", "CREATE TABLE audit (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);" + partitions +
			"ALTER TABLE second_a REPLICA IDENTITY NOTHING", "insert truncate", 0},
		{"partitioned, without partitions", "CREATE TABLE audit (id int PRIMARY KEY, note text) PARTITION BY RANGE (id)", everything, 0},
	}
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, test := range tests {
			if server.version < test.since {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				cfg := server.schema(t, test.table)
				said := apply(t, cfg)
				conn := connectTo(t, cfg)
				if got := published(t, conn, cfg.Publication); got != test.want {
					t.Errorf("publishes %s, want %s", got, test.want)
				}
				if test.want != everything {
					checkSaid(t, said, "UPDATE and DELETE of audit rows are not published", "and run init again")
				}
				if ask(t, conn, "SELECT relkind FROM pg_class WHERE oid = 'audit'::regclass") == "p" {
					exec(t, conn, "CREATE TABLE later PARTITION OF audit FOR VALUES FROM (30) TO (40); CREATE TABLE rest PARTITION OF audit DEFAULT")
				}
				exec(t, conn, "INSERT INTO audit (id) VALUES (1), (11), (31), (50)")
				exec(t, conn, "UPDATE audit SET note = 'changed'")
				exec(t, conn, "UPDATE audit SET id = id + 1")
				exec(t, conn, "DELETE FROM audit WHERE id < 40")
				exec(t, conn, "TRUNCATE audit")
				checkStreams(t, cfg)
				exec(t, conn, "DROP PUBLICATION "+cfg.Publication) // FOR ALL TABLES is for those of the next case, too
			})
		}
	})
}

// A publication that is there already, and with it a slot, is made right.
func TestApplyMendsThePublication(t *testing.T) {
	const (
		keyless     = "CREATE TABLE audit (id int, note text);"
		partitioned = `CREATE TABLE audit (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
			CREATE TABLE leaf PARTITION OF audit FOR VALUES FROM (0) TO (10);`
		other = "CREATE TABLE other (id int); INSERT INTO other VALUES (1);"
	)
	tests := []struct {
		name  string
		there string
		want  string
		said  string
		since int
	}{
		{"empty", seedTable + "CREATE PUBLICATION $name;", everything, "holds case_", 0},
		{"empty, and no identity", keyless + "CREATE PUBLICATION $name;", "insert truncate", "holds case_", 0},
		{"right but for updates", seedTable + "CREATE PUBLICATION $name FOR TABLE audit WITH (publish = 'insert');", everything, "changed (publish = ", 0},
		{"without inserts", seedTable + "CREATE PUBLICATION $name FOR TABLE audit WITH (publish = 'update, delete, truncate');", everything, "changed (publish = ", 0},
		{"updates and no identity", keyless + "CREATE PUBLICATION $name FOR TABLE audit;", "insert truncate", "changed (publish = ", 0},
		{"all tables, no identity", keyless + "CREATE PUBLICATION $name FOR ALL TABLES;", "insert truncate", "not this table's alone", 0},
		{"shared, updates stay away", seedTable + other + "CREATE PUBLICATION $name FOR TABLE other WITH (publish = 'insert');", "insert truncate", "because the publication has other tables", 0},
		{"shared, updates stay", seedTable + other + "ALTER TABLE other REPLICA IDENTITY FULL; CREATE PUBLICATION $name FOR TABLE other;", everything, "holds case_", 0},
		{"by partitions", partitioned + "CREATE PUBLICATION $name FOR TABLE audit;", everything, "publish_via_partition_root = true", 0},
		{"a partition alone", partitioned + "CREATE PUBLICATION $name FOR TABLE leaf;", everything, "holds case_", 0},
		{"all tables, by partitions", partitioned + "CREATE PUBLICATION $name FOR ALL TABLES;", everything, "publish_via_partition_root = true", 0},
		{"schema, by partitions", partitioned + "CREATE PUBLICATION $name FOR TABLES IN SCHEMA $name;", everything, "publish_via_partition_root = true", 15},
		{"row filter", seedTable + "CREATE PUBLICATION $name FOR TABLE audit WHERE (id > 7);", everything, "holds all rows and columns", 15},
		{"column list", seedTable + other + "CREATE PUBLICATION $name FOR TABLE audit (id), other WITH (publish = 'insert, truncate');", "insert truncate", "holds all rows and columns", 15},
		{"generated column", "CREATE TABLE audit (id int PRIMARY KEY, note text, twice int GENERATED ALWAYS AS (id * 2) STORED); CREATE PUBLICATION $name FOR TABLE audit;",
			everything, "changed (publish_generated_columns = stored)", 18},
	}
	eachVersion(t, oldestAndNewest, func(t *testing.T, server *testServer) {
		for _, test := range tests {
			if server.version < test.since {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				cfg := server.schema(t, test.there)
				exec(t, connectTo(t, cfg), "SELECT pg_create_logical_replication_slot('"+cfg.Slot+"', 'pgoutput')")
				checkSaid(t, apply(t, cfg), test.said, "slot "+cfg.Slot+" exists")
				conn := connectTo(t, cfg)
				if got := published(t, conn, cfg.Publication); got != test.want {
					t.Errorf("publishes %s, want %s", got, test.want)
				}
				exec(t, conn, "INSERT INTO audit (id) VALUES (1)")
				exec(t, conn, "UPDATE audit SET id = id + 1")
				exec(t, conn, "DELETE FROM audit")
				if ask(t, conn, "SELECT to_regclass('other') IS NOT NULL") == "t" {
					exec(t, conn, "UPDATE other SET id = id + 1")
				}
				checkStreams(t, cfg)
				exec(t, conn, "DROP PUBLICATION "+cfg.Publication) // FOR ALL TABLES is for those of the next case, too
			})
		}
	})
}
