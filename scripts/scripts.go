// Package scripts holds SQL that a DBA can run by hand too, embedded in the binary.
package scripts

import _ "embed"

var (
	// Seed is the audit table, its trigger function and the trigger on your_table, a table with the columns id and
	// column_name that must be there before.
	//
	//go:embed seed.sql
	Seed string
	// Demo is the shop of `pgwitness demo`: four roles and five tables, audited into Seed's table.
	//
	//go:embed demo.sql
	Demo string
	// Capture is what writes into the audit table: an owner, the trigger functions and the guard. It comes before Install or
	// Harden, in the same transaction.
	//
	//go:embed capture.sql
	Capture string
	// Install is a fresh audit table, partitioned by month.
	//
	//go:embed install.sql
	Install string
	// Mend is what Harden, Install where there is a table already, and their undo share. It comes after Capture.
	//
	//go:embed mend.sql
	Mend string
	// Harden mends the audit table that is there. It comes after Mend.
	//
	//go:embed harden.sql
	Harden string
	// Unharden brings back what Harden found. It comes after Mend.
	//
	//go:embed unharden.sql
	Unharden string
	// Uninstall undoes Install. It comes after Mend.
	//
	//go:embed uninstall.sql
	Uninstall string
	// Events are event triggers that write DDL into the audit table. They come after Capture.
	//
	//go:embed events.sql
	Events string
	// Login is an event trigger that writes logins into the audit table, from PostgreSQL 17. It comes after Capture.
	//
	//go:embed login.sql
	Login string
	// Unevents takes off what Events and Login put on.
	//
	//go:embed unevents.sql
	Unevents string
)
