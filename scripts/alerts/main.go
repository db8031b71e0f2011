// Command alerts breaks a real pgwitness until a real Prometheus says so, with the rules of deploy/prometheus, and mends it until
// the alerts are gone:
//
//	go run ./scripts/alerts
//	go run ./scripts/alerts -scenes all
//
// It needs prometheus (2.42 or later, as in Debian) in the PATH; the server is fetched. The rules are used as they are shipped,
// but for their durations, which are divided by 15 in a copy: an alert's "for: 5m" becomes 20 s, and an increase within half an
// hour one within two minutes. Thresholds are not changed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"pgwitness/internal/embeddedpg"
)

func main() {
	if embeddedpg.RunChild() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	var names []string
	for _, s := range scenes {
		names = append(names, s.name)
	}
	flags := flag.NewFlagSet("alerts", flag.ContinueOnError)
	flags.SetOutput(errOut)
	postgres := flags.Int("postgres", embeddedpg.DefaultVersion, "run this major `version` of the server")
	prometheus := flags.String("prometheus", "prometheus", "scrape with this `executable`")
	chosen := flags.String("scenes", strings.Join(usual, ","), "play these, by `name`, or all of "+strings.Join(names, ", "))
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *chosen == "all" {
		*chosen = strings.Join(names, ",")
	}
	var play []scene
	for name := range strings.SplitSeq(*chosen, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("-scenes %s: there is no scene but %s", name, strings.Join(names, ", "))
		}
		play = append(play, scenes[i])
	}

	w := &world{out: out, began: time.Now()}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(ctx, *postgres, *prometheus); err != nil {
		return err
	}
	// Others may fire: a horizon of four hours is not hurried, and a minute's WAL reaches any limit in that time.
	quiet := func(firing map[string]alert) bool {
		return !slices.ContainsFunc(play, func(s scene) bool {
			return slices.ContainsFunc(s.fires, func(name string) bool { _, fires := firing[name]; return fires })
		})
	}
	if err := w.await(ctx, "nothing fires yet", quiet); err != nil {
		return err
	}
	for _, s := range play {
		if err := w.play(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := w.await(ctx, "nothing fires any more", quiet); err != nil {
		return err
	}
	w.say("RESOLVED", "all")
	return nil
}
