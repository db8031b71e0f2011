package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// shop is the workload: clerks at work side by side, each on a connection and under a role of its own.
type shop struct {
	clerks     []*clerk
	rolledBack atomic.Int64 // audited rows that were written and rolled back again
}

// clerk does the tasks of one role, one after another.
type clerk struct {
	shop *shop
	role string
	conn *pgx.Conn
	todo chan task
}

// task is a kind of work.
type task struct {
	role   string
	weight int // how often it comes, relative to the others
	rows   int // that it adds to the audit table, on average
	do     func(context.Context, *clerk) error
}

// hire connects the clerks.
func hire(ctx context.Context, db *database) (_ *shop, err error) {
	s := new(shop)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, t := range tasks {
		if s.clerk(t.role) != nil {
			continue
		}
		conn, err := db.connect(ctx, nil)
		if err != nil {
			return nil, err
		}
		s.clerks = append(s.clerks, &clerk{shop: s, role: t.role, conn: conn, todo: make(chan task)})
		if _, err := conn.Exec(ctx, "SET ROLE "+t.role); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *shop) clerk(role string) *clerk {
	for _, c := range s.clerks {
		if c.role == role {
			return c
		}
	}
	return nil
}

// work has the clerks write about rate audited rows a second, or as many as they can for 0, until hours ends, and returns
// when each has finished what it was at. The end of ctx interrupts them. Nobody may be at work already.
func (s *shop) work(ctx, hours context.Context, rate int) error {
	if err := open(ctx, s.clerk(imports)); err != nil {
		return fmt.Errorf("the shop, opening: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	hours, closed := context.WithCancel(hours)
	defer closed()
	defer context.AfterFunc(ctx, closed)()
	for _, c := range s.clerks {
		group.Go(func() error { return c.work(ctx) })
	}
	group.Go(func() error {
		s.dispatch(hours, rate)
		return nil
	})
	return group.Wait()
}

// dispatch hands out tasks, and closes the clerks' lists at the end.
func (s *shop) dispatch(ctx context.Context, rate int) {
	defer func() {
		for _, c := range s.clerks {
			close(c.todo)
		}
	}()
	weights := 0
	for _, t := range tasks {
		weights += t.weight
	}
	due := time.NewTimer(0)
	defer due.Stop()
	at := time.Now()
	for {
		select {
		case <-due.C:
		case <-ctx.Done():
			return
		}
		next := pick(rand.IntN(weights))
		select {
		case s.clerk(next.role).todo <- next:
		case <-ctx.Done():
			return
		}
		if rate > 0 {
			at = at.Add(time.Duration(next.rows) * time.Second / time.Duration(rate))
		}
		// What a slow machine could not do in its time is not made up for.
		if now := time.Now(); at.Before(now) {
			at = now
		}
		due.Reset(time.Until(at))
	}
}

// pick returns the task that a number below the sum of all weights falls on.
func pick(number int) task {
	for _, t := range tasks {
		if number -= t.weight; number < 0 {
			return t
		}
	}
	return tasks[0]
}

func (c *clerk) work(ctx context.Context) error {
	for t := range c.todo {
		if err := t.do(ctx, c); err != nil {
			return fmt.Errorf("the shop, as %s: %w", c.role, err)
		}
	}
	return nil
}

// transaction runs do in a transaction, or in a part of one, and counts what it wrote as rolled back if it gave up.
func (c *clerk) transaction(ctx context.Context, on beginner, do func(pgx.Tx) (rows int, err error)) error {
	rows := 0
	err := pgx.BeginFunc(ctx, on, func(tx pgx.Tx) (err error) {
		rows, err = do(tx)
		return err
	})
	if errors.Is(err, errGaveUp) {
		c.shop.rolledBack.Add(int64(rows))
		return nil
	}
	return err
}

// errGaveUp ends a transaction with a rollback.
var errGaveUp = errors.New("gave up")

// beginner is a connection, where a transaction begins, or a transaction, where a savepoint does.
type beginner interface {
	Begin(context.Context) (pgx.Tx, error)
}

// close sends the clerks home. Nobody may be at work.
func (s *shop) close() {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	for _, c := range s.clerks {
		_ = c.conn.Close(ctx) // nothing is under way on it
	}
}
