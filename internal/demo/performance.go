package demo

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"pgwitness/internal/terminal"
)

const (
	// meterPoll bounds from below what latency is measured.
	meterPoll = time.Millisecond
	// patience is how long the consumer may get no further before it is given up.
	patience = 30 * time.Second
)

// performance is the shop, the consumer and what is measured of them.
type performance struct {
	stage    *stage
	db       *database
	conn     *pgx.Conn // keepShop's
	listen   string
	consumer *consumer
	meter    tail

	// What is to be told at the end. latency is written by measure, the rest by keepShop.
	latency latencies
	shop    *shop
	open    time.Duration
	lag     lag
}

// measure reads the file while the consumer writes it.
func (p *performance) measure(ctx context.Context) error {
	return p.meter.follow(ctx, p.consumer.ended, meterPoll, func(lines []byte) error {
		return p.latency.lines(lines, time.Now())
	})
}

// keepShop waits for the consumer, opens the shop as long as that is wanted, waits until everything is confirmed and
// ends the consumer.
func (p *performance) keepShop(playing, wanted context.Context) (err error) {
	defer close(p.consumer.stop)
	open, closed := context.WithCancelCause(playing)
	defer closed(nil)
	defer context.AfterFunc(wanted, func() { closed(context.Cause(wanted)) })()

	if err := awaitConsumer(open, p.conn, patience); err != nil {
		return err
	}
	p.stage.screen.step("pgwitness run follows the slot")
	if url := listenerURL(open, p.listen); url != "" {
		p.stage.screen.say(indent + "look at it at " + url + ",")
		p.stage.screen.say(indent + "with pgwitness status --url " + url + " or pgwitness tail --url " + url)
	}
	if p.shop, err = hire(open, p.db); err != nil {
		return err
	}
	defer p.shop.close()
	p.stage.screen.step("the shop is open%s", p.terms())
	began := time.Now()
	if p.stage.For > 0 {
		var cancel context.CancelFunc
		open, cancel = context.WithTimeout(open, p.stage.For)
		defer cancel()
	}
	if err := p.shop.work(playing, open, p.stage.Rate); err != nil {
		return err
	}
	if playing.Err() != nil {
		return context.Cause(playing)
	}
	p.open = time.Since(began)
	close(p.consumer.calm)
	p.stage.screen.step("the shop is closed; waiting until the rest is confirmed")
	p.lag, err = awaitConfirmed(playing, p.conn, patience)
	return err
}

// terms says how the shop is open, and until when.
func (p *performance) terms() string {
	rate, until := "as many audited rows a second as it can write", "until Ctrl-C"
	if p.stage.Rate > 0 {
		rate = fmt.Sprintf("about %d audited rows a second", p.stage.Rate)
	}
	if p.stage.For > 0 {
		until = fmt.Sprintf("for %v, or until Ctrl-C", p.stage.For)
	}
	return ": " + rate + ", " + until
}

// conclude compares the file with the table and shows how it went.
func (p *performance) conclude(ctx context.Context, path string) error {
	p.stage.screen.step("comparing the file with the table, row by row")
	oracle, err := p.db.oracle(ctx)
	if err != nil {
		return err
	}
	defer oracle.Close(ctx)
	found, err := compare(ctx, oracle, path)
	if err != nil {
		return err
	}
	s := summary{comparison: found, open: p.open, rolledBack: p.shop.rolledBack.Load(), latency: &p.latency, lag: p.lag, consumer: p.consumer}
	s.show(p.stage.screen)
	if !found.same() {
		return classed(ErrDifferences, "what was delivered is not what the table holds: %d rows lost, %d invented, %d twice, %d out of order; "+
			"please report it", found.lost(), found.invented, found.duplicates, found.disordered)
	}
	screen := p.stage.screen
	screen.say(screen.err.Paint(terminal.Green, "Every committed row was delivered, once and in order."))
	screen.say("For a database of yours: pgwitness init prints what it needs, pgwitness run follows it.")
	return nil
}

// metricsAddress returns where the consumer is to listen: for the default a port on 127.0.0.1 that was free a moment ago,
// the same for all of a consumer's lives.
func metricsAddress(listen string) (string, error) {
	if listen != "" {
		return listen, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("no port for the metrics: %w; name one with --listen", err)
	}
	return listener.Addr().String(), listener.Close()
}

// listenerURL is where the consumer answers, empty if it does not.
func listenerURL(ctx context.Context, listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	address := net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	_ = conn.Close()
	return "http://" + address
}
