package setup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// textWidth is where prose is wrapped.
const textWidth = 100

// WriteScript writes the steps to w as SQL for psql: before each statement comments that say what it is for, and
// comments alone for what is there already.
func (s *Setup) WriteScript(ctx context.Context, w io.Writer) error {
	var b strings.Builder
	comment(&b, fmt.Sprintf("pgwitness init: what database %s (PostgreSQL %s) needs for %s.",
		s.catalog.Names.Database, s.server.Version, s.catalog.Names.Table))
	if s.ready() {
		comment(&b, "Nothing: it is all there.")
	} else {
		comment(&b, "Run it with psql -f as an administrator, without -1: a slot cannot be made in a transaction that has "+
			"written. Or let `pgwitness init --apply` run it.")
		if lacks := s.lacks(); len(lacks) > 0 {
			comment(&b, fmt.Sprintf("User %s, who asked, may not do all of this: it takes %s as well.",
				s.catalog.Admin.Name, strings.Join(lacks, ", ")))
		}
		b.WriteByte('\n')
		comment(&b, "No statement waits for a lock for longer than this. If one gives up, run init again.")
		fmt.Fprintf(&b, "%s;\n", s.setLockTimeout())
	}
	for _, step := range s.steps {
		b.WriteByte('\n')
		if step.sql == "" {
			comment(&b, step.what+" "+step.state)
		} else {
			comment(&b, step.why)
		}
		for _, note := range step.notes {
			comment(&b, note)
		}
		if step.slot {
			amount, caveat := s.countRows(ctx)
			if caveat != "" {
				caveat = " (" + caveat + ")"
			}
			comment(&b, "What was committed before the slot is made is not streamed: "+amount+" in the table now"+caveat+".")
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

// comment writes text as a comment, folded into lines. Names may hold line breaks; what follows one would be executed.
func comment(b *strings.Builder, text string) { wrap(b, "-- ", text) }

// wrap writes text in lines of prefix and words, with every control character turned into a space.
func wrap(b *strings.Builder, prefix, text string) {
	width := 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || unicode.IsControl(r) }) {
		switch {
		case width == 0:
			b.WriteString(prefix)
			width = len(prefix)
		case width+1+len(word) > textWidth:
			b.WriteString("\n" + prefix)
			width = len(prefix)
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteByte('\n')
}

func (s *Setup) setLockTimeout() string {
	if s.cfg.LockTimeout%time.Second == 0 {
		return fmt.Sprintf("SET lock_timeout = '%ds'", s.cfg.LockTimeout/time.Second)
	}
	return fmt.Sprintf("SET lock_timeout = '%dms'", max(s.cfg.LockTimeout, time.Millisecond).Milliseconds())
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
