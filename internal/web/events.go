package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/feed"
)

// MostLast is the largest number of events of before that a client can ask for.
const MostLast = 1000

const (
	// readerPatience is how long a client may take nothing at all before it is given up.
	readerPatience = 30 * time.Second
	// writeSize is about how much is written at a time.
	writeSize = 32 << 10
)

// eventsRequest is what /events is asked for.
type eventsRequest struct {
	feed.Filter
	last   int
	follow bool
}

func readEventsRequest(query url.Values) (eventsRequest, error) {
	request := eventsRequest{
		Filter: feed.Filter{Tables: query["table"], Operations: query["operation"], Users: query["user"], Kinds: query["kind"]},
		follow: true,
	}
	known := []string{"table", "operation", "user", "kind", "last", "follow"}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return request, fmt.Errorf("%q: want one of %s", name, strings.Join(known, ", "))
		}
		var err error
		switch name {
		case "last":
			request.last, err = strconv.Atoi(values[0])
			if err != nil || request.last < 0 || request.last > MostLast {
				return request, fmt.Errorf("last: want a number from 0 to %d", MostLast)
			}
		case "follow":
			if request.follow, err = strconv.ParseBool(values[0]); err != nil {
				return request, fmt.Errorf("follow: want true or false")
			}
		}
	}
	return request, request.Check()
}

// events streams durable events in the native format, one a line, until the client leaves or closing is closed. A line
// {"skipped":N} stands for events that the client was too slow for.
func events(f *feed.Feed, closing <-chan struct{}) http.HandlerFunc {
	if f == nil {
		return func(w http.ResponseWriter, _ *http.Request) {
			writeText(w, http.StatusForbidden, "events are not shown: set http.show_events to true "+
				"(PGWITNESS_HTTP_SHOW_EVENTS=true), and everyone who reaches this address reads the rows; http.web_config restricts who does\n")
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		request, err := readEventsRequest(r.URL.Query())
		if err != nil {
			writeText(w, http.StatusBadRequest, err.Error()+"\n")
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		if r.Method == http.MethodHead {
			return
		}
		writer := eventWriter{ResponseWriter: w, controller: http.NewResponseController(w)}
		writer.stream(r.Context(), f, request, closing)
	}
}

type eventWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	buffer     []byte
}

// stream returns when there is nothing left to do; what went wrong is the client's having left.
func (w *eventWriter) stream(ctx context.Context, f *feed.Feed, request eventsRequest, closing <-chan struct{}) {
	first := uint64(0)
	if request.last == 0 {
		first = f.End()
	}
	kept, _, next, more := f.From(first)
	var last []*decoder.Event
	for i := len(kept) - 1; i >= 0 && len(last) < request.last; i-- {
		if request.Match(&kept[i]) {
			last = append(last, &kept[i])
		}
	}
	slices.Reverse(last)
	for _, e := range last {
		if w.line(e.Line()) != nil {
			return
		}
	}
	for w.flush() == nil && request.follow { // the first time for the header, which says that it works
		select {
		case <-more:
		case <-closing:
			return
		case <-ctx.Done():
			return
		}
		var events []decoder.Event
		var skipped uint64
		events, skipped, next, more = f.From(next)
		if skipped > 0 && w.line(fmt.Appendf(nil, "{\"skipped\":%d}\n", skipped)) != nil {
			return
		}
		for i := range events {
			if request.Match(&events[i]) && w.line(events[i].Line()) != nil {
				return
			}
		}
	}
}

func (w *eventWriter) line(line []byte) error {
	w.buffer = append(w.buffer, line...)
	if len(w.buffer) < writeSize {
		return nil
	}
	return w.flush()
}

// flush writes what there is, with a deadline of its own: the server's is that of a short answer.
func (w *eventWriter) flush() error {
	if err := w.controller.SetWriteDeadline(time.Now().Add(readerPatience)); err != nil {
		return err
	}
	if _, err := w.Write(w.buffer); err != nil {
		return err
	}
	w.buffer = w.buffer[:0]
	return w.controller.Flush()
}
