package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"pgwitness/internal/embeddedpg"
)

var (
	errAsked     = errors.New("asked to stop")
	errAbandoned = errors.New("the process in front is gone")
)

const viewerPoll = 30 * time.Millisecond

// stage plays the demo.
type stage struct {
	order
	screen *screen
	// stop closes the shop, because somebody asked for it.
	stop func()
}

// RunStage plays the demo that Run orders through stdin. ctx asks it to come to the end; the end of stdin has it leave at
// once. In any case it leaves nothing behind. Its error is an ErrSetup, an ErrDifferences, a *ConsumerError or other.
func RunStage(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	// A reader of the events who leaves is no reason to die here. Received and dropped, not ignored: that the server and
	// the consumer would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	orders := json.NewDecoder(stdin)
	s := &stage{screen: newScreen(stdout, stderr)}
	if err := orders.Decode(&s.order); err != nil {
		return errors.New("pgwitness stage is a part of pgwitness demo and does not run without it")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()

	alive, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)
	wanted, stop := context.WithCancelCause(alive)
	defer stop(nil)
	s.stop = func() { stop(errAsked) }
	defer context.AfterFunc(ctx, s.stop)()
	// It ends with the process, which has nothing to do any more once RunStage returns.
	go func() {
		for {
			var next json.RawMessage
			if orders.Decode(&next) != nil {
				abandon(errAbandoned)
				return
			}
			s.stop()
		}
	}()

	err = s.play(alive, wanted)
	if consumer, ok := errors.AsType[*ConsumerError](err); ok {
		s.screen.say(consumer.Log)
	}
	if wanted.Err() != nil && (errors.Is(err, errAsked) || errors.Is(err, context.Canceled)) {
		s.screen.step("stopped before the shop was open")
		return nil
	}
	return err
}

// play goes on while the process in front is alive, with an open shop as long as that is wanted.
func (s *stage) play(alive, wanted context.Context) (err error) {
	db, err := s.openDatabase(wanted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()

	conn, err := db.connect(wanted, nil)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(alive)) // it goes with the database at the latest
	if err := install(wanted, conn); err != nil {
		return err
	}
	s.screen.step("custom_audit_log and its trigger are installed, and a shop beside them")
	return s.perform(alive, wanted, db, conn)
}

// openDatabase starts a server, or makes a database on the one that was offered.
func (s *stage) openDatabase(ctx context.Context) (*database, error) {
	if s.DSN != "" {
		db, err := openOffered(ctx, s.DSN)
		if err == nil {
			s.screen.step("PostgreSQL %s; database, slot and publication are called %s", db.version, name)
		}
		return db, err
	}
	location, err := embeddedpg.Location(embeddedpg.Config{})
	if err != nil {
		return nil, err
	}
	s.screen.step("PostgreSQL comes from %s, where it is kept for the next time", location)
	db, err := openEmbedded(ctx, s.Postgres, s.screen.progress)
	if err == nil {
		s.screen.step("PostgreSQL %s runs", db.version)
	}
	return db, err
}

// perform has a consumer follow the audit table while the shop is open, and compares at the end.
func (s *stage) perform(alive, wanted context.Context, db *database, conn *pgx.Conn) error {
	listen, err := metricsAddress(s.Listen)
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dir, "audit.jsonl")
	p := &performance{
		stage: s, db: db, conn: conn, listen: listen,
		consumer: newConsumer(consumerEnviron(db, s.Dir, path, listen), s.Kill, s.screen.killed),
		meter:    tail{path: path},
	}
	defer p.meter.close()
	viewer := tail{path: path}
	viewed := make(chan error, 1)

	group, playing := errgroup.WithContext(alive)
	group.Go(func() error { return p.consumer.run(playing) })
	group.Go(func() error { return p.measure(playing) })
	group.Go(func() error { return p.keepShop(playing, wanted) })
	// Not in the group: who does not read standard output may hold this up, but not that everything is cleared away.
	go func() {
		defer viewer.close()
		err := viewer.follow(playing, p.consumer.ended, viewerPoll, s.screen.events)
		if err != nil && playing.Err() == nil {
			s.stop() // nobody is watching any more
		}
		viewed <- err
	}()
	if err := group.Wait(); err != nil {
		if errors.Is(err, errNoConsumer) {
			s.screen.say(p.consumer.log)
		}
		return err
	}
	select {
	case err := <-viewed:
		if err != nil && !errors.Is(err, syscall.EPIPE) {
			return fmt.Errorf("show the events: %w", err)
		}
	case <-alive.Done():
		return context.Cause(alive)
	}
	return p.conclude(alive, path)
}
