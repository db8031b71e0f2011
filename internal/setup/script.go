package setup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"pgwitness/internal/admin"
)

// WriteScript writes the steps to w as SQL for psql: before each statement comments that say what it is for, and
// comments alone for what is there already.
func (s *Setup) WriteScript(ctx context.Context, w io.Writer) error {
	var b strings.Builder
	admin.Comment(&b, fmt.Sprintf("pgwitness init: what database %s (PostgreSQL %s) needs for %s.",
		s.catalog.Names.Database, s.server.Version, s.catalog.Names.Table))
	if s.ready() {
		admin.Comment(&b, "Nothing: it is all there.")
	} else {
		admin.Comment(&b, "Run it with psql -f as an administrator, without -1: a slot cannot be made in a transaction that has "+
			"written. Or let `pgwitness init --apply` run it.")
		if lacks := s.lacks(); len(lacks) > 0 {
			admin.Comment(&b, fmt.Sprintf("User %s, who asked, may not do all of this: it takes %s as well.",
				s.catalog.Admin.Name, strings.Join(lacks, ", ")))
		}
		b.WriteByte('\n')
		admin.Comment(&b, "No statement waits for a lock for longer than this. If one gives up, run init again.")
		fmt.Fprintf(&b, "%s;\n", admin.SetLockTimeout(s.cfg.LockTimeout))
	}
	for _, step := range s.steps {
		b.WriteByte('\n')
		if step.sql == "" {
			admin.Comment(&b, step.what+" "+step.state)
		} else {
			admin.Comment(&b, step.why)
		}
		for _, note := range step.notes {
			admin.Comment(&b, note)
		}
		if step.slot {
			amount, caveat := s.countRows(ctx)
			if caveat != "" {
				caveat = " (" + caveat + ")"
			}
			admin.Comment(&b, "What was committed before the slot is made is not streamed: "+amount+" in the table now"+caveat+".")
		}
		if step.sql != "" {
			fmt.Fprintf(&b, "%s;\n", step.sql)
		}
	}
	script := b.String()
	if !s.ready() && strings.ContainsFunc(script, func(r rune) bool { return r > unicode.MaxASCII }) {
		script = "SET client_encoding = 'UTF8';\n\n" + script
	}
	_, err := io.WriteString(w, script)
	return err
}

// ready says whether nothing is to be done.
func (s *Setup) ready() bool {
	return !slices.ContainsFunc(s.steps, func(step step) bool { return step.sql != "" })
}

// lacks are the rights that the administrator lacks, each once.
func (s *Setup) lacks() []string {
	var all []string
	for _, step := range s.steps {
		for _, right := range step.lacks {
			if !slices.Contains(all, right) {
				all = append(all, right)
			}
		}
	}
	return all
}
