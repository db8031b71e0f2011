package audit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"pgwitness/internal/admin"
	"pgwitness/internal/replication"
)

// explain says what it means that a step failed. Nothing of its transaction stays.
func explain(step Step, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("%s: %w", step.Why, err)
	}
	switch pgErr.Code {
	case "55P03", "40P01", "57014": // lock_not_available, deadlock_detected, query_canceled: what waits for several locks has less than deadlock_timeout
		return fmt.Errorf("%s: %w; nothing was changed: run it again when the tables are less busy, or with a longer --lock-timeout", step.Why, err)
	case "42501":
		return admin.Refuse(replication.ErrSetup, "%s: %w; nothing was changed: connect as a superuser, or have the SQL run that the command prints "+
			"without --apply", step.Why, err)
	}
	if strings.HasPrefix(pgErr.Code, "08") || strings.HasPrefix(pgErr.Code, "53") || strings.HasPrefix(pgErr.Code, "57") {
		return fmt.Errorf("%s: %w; nothing was changed", step.Why, err) // the server's state, which may be another one next time
	}
	return admin.Refuse(replication.ErrSetup, "%s: %w; nothing was changed", step.Why, err)
}
