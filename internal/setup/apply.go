package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
)

// Apply runs the statements that are missing, each by itself, and writes to w what there is and what was made, as it goes.
// It says whether it changed anything, of which nothing is undone when a later statement fails: another Apply goes on from
// there. An error is of the classes that Open names; one by a lock that others held names them, and may heal.
func (s *Setup) Apply(ctx context.Context, w io.Writer) (changed bool, err error) {
	if lacks := s.lacks(); len(lacks) > 0 {
		return false, admin.Refuse(replication.ErrSetup, "user %s may not do all of this: it takes %s as well; connect as a superuser, or as "+
			"somebody who may, or have the SQL run that `pgwitness init` prints", s.catalog.Admin.Name, strings.Join(lacks, ", "))
	}
	if _, err := s.conn.Script(ctx, admin.SetLockTimeout(s.cfg.LockTimeout)); err != nil {
		return false, err
	}
	slotMade := false
	for _, step := range s.steps {
		if step.sql != "" {
			result, err := s.conn.Script(ctx, step.sql)
			if err != nil {
				return changed, s.explain(ctx, step, err)
			}
			changed = true
			if step.slot {
				slotMade = true
				step.state += " at " + result
			}
		}
		if err := report(w, step); err != nil {
			return changed, err
		}
	}
	if !changed {
		return false, nil
	}
	if err := s.confirm(ctx); err != nil || !slotMade {
		return changed, err
	}
	amount, caveat := s.countRows(ctx)
	if caveat == "" {
		caveat = "counted just after it was made: rows committed in that very moment are counted, and streamed as well"
	}
	var b strings.Builder
	admin.Wrap(&b, "    ", fmt.Sprintf("%s older than the slot and will not be streamed (%s).", amount, caveat))
	_, err = io.WriteString(w, b.String())
	return changed, err
}

func report(w io.Writer, step step) error {
	var b strings.Builder
	admin.Wrap(&b, "", step.what+" "+step.state)
	for _, note := range step.notes {
		admin.Wrap(&b, "    ", note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// confirm looks again. PostgreSQL answers a GRANT that grants nothing with a mere warning, and somebody may have changed
// something meanwhile.
func (s *Setup) confirm(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return fmt.Errorf("looking at what was made: %w", err)
	}
	for _, step := range s.steps {
		if step.sql != "" {
			return fmt.Errorf("%s is still not as it must be, though nothing failed: run init again", step.what)
		}
	}
	return nil
}

// SQLSTATE codes that decide what a failed statement means.
const (
	codeInsufficientRights = "42501"
	codeLockNotAvailable   = "55P03"
	codeSlotsExhausted     = "53400"
	codeQueryCanceled      = "57014"
)

// explain says what it means that a step failed.
func (s *Setup) explain(ctx context.Context, step step, err error) error {
	statement := strings.Join(strings.Fields(step.sql), " ")
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("%s: %w", statement, err)
	}
	switch pgErr.Code {
	case codeLockNotAvailable:
		return s.explainLock(ctx, step)
	case codeInsufficientRights:
		return admin.Refuse(replication.ErrSetup, "%s: %w; connect as a superuser, or have the SQL run that `pgwitness init` prints", statement, err)
	case codeSlotsExhausted:
		return admin.Refuse(replication.ErrSetup, "%s: %w; raise max_replication_slots and restart the server", statement, err)
	}
	switch pgErr.Code[:2] {
	case "08", "40", "53", "55", "57", "58", "XX": // the server's state, which may be another one next time
		return fmt.Errorf("%s: %w", statement, err)
	}
	return admin.Refuse(replication.ErrSetup, "%s: %w", statement, err)
}
