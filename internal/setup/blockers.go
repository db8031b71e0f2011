package setup

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed blockers.sql
var blockersQuery string

// blocker is a transaction that somebody had to wait for: a session's, or a prepared one.
type blocker struct {
	PID         int      `json:"pid"`
	User        string   `json:"user"`
	Application string   `json:"application"`
	Database    string   `json:"database"`
	State       string   `json:"state"`
	GID         string   `json:"gid"` // of a prepared transaction
	Age         *float64 `json:"age"` // in seconds; nil without the right to see it
}

func (b blocker) String() string {
	var text strings.Builder
	if b.GID != "" {
		fmt.Fprintf(&text, "prepared transaction %q (user %s", b.GID, b.User)
	} else {
		fmt.Fprintf(&text, "pid %d (user %s, application %q", b.PID, b.User, b.Application)
	}
	fmt.Fprintf(&text, ", database %s", b.Database)
	if b.State != "" {
		text.WriteString(", " + b.State)
	}
	if b.Age != nil {
		fmt.Fprintf(&text, ", for %v", time.Duration(*b.Age*float64(time.Second)).Round(time.Second))
	}
	text.WriteByte(')')
	return text.String()
}

// explainLock names whom step waited for in vain.
func (s *Setup) explainLock(ctx context.Context, step step) error {
	var relation []byte
	waited := fmt.Sprintf("%s was not made: it waited %v for a lock on %s", step.what, s.cfg.LockTimeout, s.catalog.Names.Table)
	if step.slot {
		waited = fmt.Sprintf("%s was not made: it waited %v for transactions that are writing", step.what, s.cfg.LockTimeout)
	} else {
		relation = []byte(s.catalog.Names.Table)
	}
	var blockers []blocker
	seconds := strconv.FormatFloat(s.cfg.LockTimeout.Seconds(), 'f', -1, 64)
	if err := s.conn.JSON(ctx, &blockers, blockersQuery, relation, []byte(seconds)); err != nil {
		return fmt.Errorf("%s, and it cannot be told by whom: %w; run init again", waited, err)
	}
	if len(blockers) == 0 {
		return fmt.Errorf("%s, which have ended now: run init again", waited)
	}
	const few = 5
	var named []string
	for _, b := range blockers[:min(few, len(blockers))] {
		named = append(named, b.String())
	}
	if more := len(blockers) - few; more > 0 {
		named = append(named, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%s: %s; wait for them, or end them, and run init again", waited, strings.Join(named, ", "))
}
