package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

var securityChecks = []check{
	{"insert-privilege", Security, tablePart, "These roles can forge audit rows.", func(f *facts) finding {
		return f.granted([]string{"INSERT"}, false)
	}},
	{"change-privileges", Security, tablePart, "These roles can alter or delete audit rows, or put a trigger on the audit table that does.", func(f *facts) finding {
		return f.granted([]string{"UPDATE", "DELETE", "TRUNCATE", "TRIGGER"}, false)
	}},
	{"sequence-privileges", Security, tablePart, "These roles can set the next id, and so stop all audited writes or blur the order.", func(f *facts) finding {
		if f.table.Sequence == nil {
			return skipped("%s has no sequence", f.table.Name)
		}
		return f.granted([]string{"USAGE", "UPDATE"}, true)
	}},
	{"write-all", Security, tablePart, "Members of pg_write_all_data can forge, alter and delete audit rows without a grant.", func(f *facts) finding {
		if roles := f.table.WriteAll; len(roles) > 0 {
			return warning("REVOKE pg_write_all_data FROM "+roles[0]+";", "members: %s", few(roles))
		}
		return ok("pg_write_all_data has no members")
	}},
	{"owner", Security, tablePart, "An owner can drop the guard, disable triggers and delete rows, and needs no grant.", func(f *facts) finding {
		if o := f.table.Owner; o.Login {
			kind := ""
			if o.Superuser {
				kind = ", a superuser"
			}
			return problem(f.harden(), "%s belongs to %s, who can log in%s", f.table.Name, o.Name, kind)
		}
		return ok("%s belongs to %s, who cannot log in", f.table.Name, f.table.Owner.Name)
	}},
	{"owner-members", Security, tablePart, "A member of the owner can do what the owner can.", func(f *facts) finding {
		if roles := f.table.OwnerMembers; len(roles) > 0 {
			return warning(fmt.Sprintf("REVOKE %s FROM %s;", f.table.Owner.Quoted, roles[0]), "members of %s who can log in: %s", f.table.Owner.Name, few(roles))
		}
		return ok("nobody who can log in is a member of %s", f.table.Owner.Name)
	}},
	{"guard", Security, tablePart, "UPDATE, DELETE and TRUNCATE of audit rows are not refused.", func(f *facts) finding {
		const whole = before | onUpdate | onDelete | onTruncate
		var bare, fix []string
		for _, r := range f.table.Relations {
			if g := r.Guard; g == nil || g.Enabled != "A" || g.Function != "pgwitness.refuse" || g.Type != whole {
				bare = append(bare, r.Name)
				fix = append(fix, "SELECT pgwitness.guard("+literal(r.Name)+");")
			}
		}
		switch {
		case len(bare) == 0:
			return ok("the guard is on %s", count(len(f.table.Relations), "relation"))
		case f.power == nil || !f.power.Installed:
			return problem(f.harden(), "there is no guard on %s", few(bare))
		}
		return problem(strings.Join(fix, " "), "the guard is missing, disabled or not as it was on %s", few(bare))
	}},
	{"interceptors", Security, tablePart, "A trigger or a rule on the audit table can change or swallow audit rows before they are written.", func(f *facts) finding {
		if all := slices.Concat(f.table.Interceptors, f.table.Rules); len(all) > 0 {
			return warning("unless you know what it is for: DROP "+all[0]+";", "%s", few(all))
		}
		return ok("no other trigger and no rule is on the audit table")
	}},
	{"row-security", Security, tablePart, "Policies can refuse audit rows, and with them the application's writes, or hide rows from who checks.", func(f *facts) finding {
		var on, fix []string
		for _, r := range f.table.Relations {
			if r.RowSecurity || r.Forced {
				on = append(on, r.Name)
				fix = append(fix, fmt.Sprintf("ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;", r.Name))
			}
		}
		if len(on) > 0 {
			return problem(strings.Join(fix, " "), "row level security is on for %s", few(on))
		}
		return ok("row level security is off")
	}},
	{"function-execute", Security, triggerPart, "Who may execute such a function can put it on a table of their own, and write audit rows that never happened.", func(f *facts) finding {
		var said []string
		fix := ""
		for _, fn := range f.capturing() {
			if !fn.Definer || !fn.Public && len(fn.Executors) == 0 {
				continue
			}
			who := fn.Executors
			if fn.Public {
				who = append([]string{"PUBLIC"}, who...)
			}
			said = append(said, fmt.Sprintf("%s() by %s", fn.Name, few(who)))
			fix += fmt.Sprintf("REVOKE ALL ON FUNCTION %s() FROM %s; ", fn.Name, strings.Join(who, ", "))
		}
		if f.power != nil && len(said) == 0 && len(f.power.Executable) > 0 {
			return problem(f.harden(), "may be executed: %s", few(f.power.Executable))
		}
		if len(said) > 0 {
			return problem(strings.TrimSpace(fix), "may be executed: %s", few(said))
		}
		return ok("nobody but the owner may execute what writes with the owner's rights")
	}},
	{"function-owner", Security, triggerPart, "The owner of a function can replace it by one that records nothing.", func(f *facts) finding {
		var said []string
		for _, fn := range f.capturing() {
			if fn.Owner.Login {
				said = append(said, fmt.Sprintf("%s() belongs to %s", fn.Name, fn.Owner.Name))
			}
		}
		if len(said) > 0 {
			return problem(f.harden(), "%s, who can log in", few(said))
		}
		return ok("the functions' owner cannot log in")
	}},
	{"temp-diversion", Security, triggerPart, "CREATE TEMP TABLE with the audit table's name diverts a session's audit rows, and they are gone when it ends.", func(f *facts) finding {
		names := f.faulty((*function).diverted)
		switch {
		case len(names) == 0:
			return ok("a temporary table of that name diverts nothing")
		case f.power == nil:
			return f.absent[powerPart]
		case len(f.power.Temporary) == 0:
			return ok("nobody but the database's owner may make temporary tables")
		}
		return problem(f.harden(), "%s may make temporary tables, and %s takes the first table of that name", few(f.power.Temporary), few(names))
	}},
	{"functions-altered", Security, coveragePart, "A trigger function that was altered may record something else, or nothing.", func(f *facts) finding {
		switch c := f.coverage; {
		case !c.Installed:
			return skipped("the trigger functions of the schema pgwitness are not installed")
		case len(c.Functions) > 0:
			return problem(f.harden(), "%s", few(c.Functions))
		}
		return ok("the trigger functions are as they were installed")
	}},
	{"superusers", Security, powerPart, "A superuser can do anything to audit rows. What was streamed before is out of reach, and changes after that are told as tampering.", func(f *facts) finding {
		if all := f.power.Superusers; len(all) > 1 {
			return warning("ALTER ROLE … NOSUPERUSER for each that need not be one", "%s can log in: %s", count(len(all), "superuser"), few(all))
		}
		return ok("superusers who can log in: %s", cmp.Or(few(f.power.Superusers), "none"))
	}},
	{"replica-role-setters", Security, setterPart, "SET session_replication_role = replica silences every trigger that is not ENABLE ALWAYS.", func(f *facts) finding {
		if len(f.setters) > 0 {
			return warning("REVOKE SET ON PARAMETER session_replication_role FROM "+f.setters[0]+";", "may set it: %s", few(f.setters))
		}
		return ok("none but superusers may set it")
	}},
	{"mask-key", Security, powerPart, "Who can read the key can find out masked values by guessing.", func(f *facts) finding {
		switch key := f.power.MaskKey; {
		case key == nil:
			return skipped("values are not masked: the schema pgwitness is not installed")
		case len(key.Readers) > 0:
			return warning("REVOKE ALL ON pgwitness.mask_key FROM …, or the membership by which they may", "may read pgwitness.mask_key: %s", few(key.Readers))
		}
		return ok("none but superusers can read the key")
	}},
	{"tls", Security, anyway, "Audit rows, and the password's exchange, can be read or changed on the way.", func(f *facts) finding {
		switch {
		case f.server.TLS:
			return ok("this connection uses TLS")
		case f.server.Remote:
			return warning("put sslmode=verify-full and sslrootcert=… into source.dsn", "this connection crosses a network without TLS")
		}
		return ok("this connection does not leave the machine")
	}},
}

// granted is a problem if others than the owner have one of the privileges, on the table's sequence or on the table itself.
func (f *facts) granted(privileges []string, ofSequence bool) finding {
	var said, fix []string
	for _, g := range f.table.Grants {
		sequence := f.table.Sequence != nil && g.Relation == f.table.Sequence.Name
		if sequence != ofSequence || !slices.Contains(privileges, g.Privilege) {
			continue
		}
		kind := ""
		if sequence {
			kind = "SEQUENCE "
		}
		said = append(said, fmt.Sprintf("%s (%s on %s)", g.Grantee, g.Privilege, g.Relation))
		fix = append(fix, fmt.Sprintf("REVOKE %s ON %s%s FROM %s;", g.Privilege, kind, g.Relation, g.Quoted))
	}
	if len(said) == 0 {
		return ok("nobody but %s has %s", f.table.Owner.Name, strings.Join(privileges, ", "))
	}
	mend := strings.Join(unique(fix), " ")
	if len(f.faulty(func(fn *function) bool { return !fn.Definer })) > 0 {
		mend = f.harden() // until then the writers need their grants
	}
	return problem(mend, "%s", few(unique(said)))
}

// literal quotes s for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
