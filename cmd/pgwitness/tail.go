package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pgwitness/decoder"
	"pgwitness/internal/eventline"
	"pgwitness/internal/feed"
	"pgwitness/internal/retry"
	"pgwitness/internal/terminal"
	"pgwitness/internal/web"
	"pgwitness/internal/webclient"
)

func newTailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the events that a running pgwitness delivers, as they come",
		Long: `Show the events that a running pgwitness delivers, as they come.

An event is shown once every sink has it. This takes no slot, asks the database nothing
and holds nothing up: who is too slow misses events, and is told how many. pgwitness
must have http.show_events on. When it is restarted, tail waits for it and goes on.

` + clientHelp,
		Example: `  # The last ten events, and those that come
  pgwitness tail

  # What one user deleted from two tables
  pgwitness tail --table orders --table payments --operation delete --user app

  # Whether somebody has meddled with the audit table
  pgwitness tail --kind tamper --last 1000

  # The last hundred as JSON, one a line
  pgwitness tail --last 100 --no-follow --json | jq .row`,
		Args: noArgs,
	}
	reach := addClientFlags(cmd)
	request := webclient.Request{Last: 10}
	var noFollow, asJSON bool
	flags := cmd.Flags()
	flags.StringArrayVar(&request.Tables, "table", nil, "only changes to this audited `TABLE`, with or without its schema (repeatable)")
	flags.StringSliceVar(&request.Operations, "operation", nil, "only these `OPERATIONS`: "+strings.Join(feed.Operations, ", "))
	flags.StringArrayVar(&request.Users, "user", nil, "only changes by this `USER` (repeatable)")
	flags.StringSliceVar(&request.Kinds, "kind", nil, "only these `KINDS`: "+strings.Join(feed.Kinds, ", "))
	flags.IntVarP(&request.Last, "last", "n", request.Last, fmt.Sprintf("begin with the last `N` events, %d at most", web.MostLast))
	flags.BoolVar(&noFollow, "no-follow", false, "end after the last ones")
	flags.BoolVar(&asJSON, "json", false, "print the events as they are, one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		request.Follow = !noFollow
		if err := checkRequest(request); err != nil {
			return withCode(exitUsage, err)
		}
		client, err := reach.client()
		if err != nil {
			return err
		}
		defer client.Close()
		view := tailView{out: terminal.New(cmd.OutOrStdout()), err: cmd.ErrOrStderr(), json: asJSON}
		return view.follow(cmd.Context(), client, request)
	}
	return cmd
}

func checkRequest(request webclient.Request) error {
	if request.Last < 0 || request.Last > web.MostLast {
		return fmt.Errorf("--last: want a number from 0 to %d", web.MostLast)
	}
	if err := request.Check(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// tailView shows events.
type tailView struct {
	out  terminal.Terminal
	err  io.Writer
	json bool

	// newest is the position and the commit of the newest event that came.
	newest struct {
		decoder.Position
		CommitTime time.Time `json:"commit_time"`
	}
}

// follow shows what client has until ctx is done or, where that is not asked for, until there is no more for now. A pgwitness
// that has answered once may go and come back.
func (v *tailView) follow(ctx context.Context, client *webclient.Client, request webclient.Request) error {
	backoff := retry.New()
	for answered, away := false, false; ; {
		events, err := client.Events(ctx, request)
		if err == nil {
			if away {
				fmt.Fprintf(v.err, "pgwitness: %s answers again\n", client)
			}
			err = v.show(events, answered)
			_ = events.Close() // it is over
			answered, away = true, false
			backoff.Succeeded()
		}
		unreachable := errors.Is(err, webclient.ErrUnreachable)
		switch {
		case ctx.Err() != nil, !request.Follow && !unreachable && errors.Is(err, io.EOF):
			return nil
		case unreachable && !answered, !unreachable && !errors.Is(err, io.EOF):
			return err
		}
		if !away {
			fmt.Fprintf(v.err, "pgwitness: %s has gone; waiting until it is back\n", client)
			away = true
		}
		request.Last = web.MostLast // what comes before we are back is among them, unless it is more
		if backoff.Wait(ctx) != nil {
			return nil
		}
	}
}

// show shows events until there are no more: its error is then io.EOF. Those that came before a pgwitness was away it leaves
// out, if again is set.
func (v *tailView) show(events *webclient.Events, again bool) error {
	out := bufio.NewWriter(v.out)
	for {
		line, err := events.Next()
		if err != nil {
			if failed := out.Flush(); failed != nil {
				return failed
			}
			return err
		}
		shown, err := v.render(line, again)
		if err != nil {
			return err
		}
		if _, err := out.Write(shown); err != nil {
			return err
		}
		if events.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

// render makes of a line what is shown, nothing if it is left out.
func (v *tailView) render(line []byte, again bool) ([]byte, error) {
	var skipped struct{ Skipped int }
	newest := v.newest
	if err := errors.Join(json.Unmarshal(line, &newest), json.Unmarshal(line, &skipped)); err != nil {
		return nil, fmt.Errorf("a line that is no event: %w", err)
	}
	if skipped.Skipped == 0 {
		// A position alone would not do: those of another server may be lower.
		if again && newest.Compare(v.newest.Position) <= 0 && !newest.CommitTime.After(v.newest.CommitTime) {
			return nil, nil
		}
		v.newest = newest
	}
	if v.json {
		return line, nil
	}
	if skipped.Skipped > 0 {
		note := fmt.Sprintf("… %s came too fast to be shown", terminal.Count(uint64(skipped.Skipped), "event", "events"))
		return []byte(v.out.Paint(terminal.Gray, note) + "\n"), nil
	}
	var event eventline.Event
	if err := json.Unmarshal(line, &event); err != nil {
		return nil, fmt.Errorf("a line that is no event: %w", err)
	}
	const unseen = 1 << 10 // columns, where no person sees it as it is written
	return []byte(event.Render(v.out.Width(unseen), v.out.Colours) + "\n"), nil
}
