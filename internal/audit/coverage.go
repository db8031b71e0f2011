package audit

import (
	"context"
	"errors"
)

// Coverage is which tables of a database are audited, and which of those that should be are not.
type Coverage struct {
	// Table is the audit table's name, qualified and quoted.
	Table string `json:"table"`
	// Installed is whether the trigger functions are there. What install and harden make, attach needs.
	Installed bool `json:"installed"`
	// Functions are the trigger functions' faults: altered, missing, or owned by somebody else. None for sound ones.
	Functions []string `json:"functions"`
	// Unknown says what the connected role may not read, and how to let it. None when everything was seen.
	Unknown []string `json:"unknown"`
	// Tables come in the order of their names, with those that were attached and are gone.
	Tables []TableCoverage `json:"tables"`
}

// TableCoverage is one table. A partitioned table stands for its partitions.
type TableCoverage struct {
	// Table is the name, qualified and quoted.
	Table string `json:"table"`
	State State  `json:"state"`
	// Mode is "row" or "statement" for a table of pgwitness, otherwise "".
	Mode string `json:"mode,omitempty"`
	// Attached is whether the registry has the table.
	Attached bool `json:"attached"`
	// Partitions is how many partitions it has, whatever their level.
	Partitions int `json:"partitions,omitempty"`
	// Notes say what of the table is not as it was attached, or what else there is to know of it.
	Notes []string `json:"notes"`
}

// State says how far a table is audited.
type State string

const (
	// Audited is a table each change of which is written into the audit table.
	Audited State = "audited"
	// Broken is a table that was attached, or has pgwitness's triggers, and is not fully audited. Notes say why.
	Broken State = "broken"
	// Seed is a table that the seed's function audits, with its defects.
	Seed State = "seed"
	// Other is a table with a trigger whose function of somebody's own mentions the audit table.
	Other State = "other"
	// Unaudited is a table that nothing audits and that was not attached.
	Unaudited State = "unaudited"
)

// Broken are the tables that were attached and are not fully audited.
func (c Coverage) Broken() []TableCoverage {
	var broken []TableCoverage
	for _, table := range c.Tables {
		if table.State == Broken {
			broken = append(broken, table)
		}
	}
	return broken
}

// Coverage looks at every user table of the database. It takes no right but to read the catalog, and USAGE on the schema
// pgwitness with SELECT on its table attachment.
func (d *Database) Coverage(ctx context.Context) (Coverage, error) {
	return Coverage{}, errors.New("not there yet")
}
