package webclient

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"pgwitness/internal/feed"
)

// Request is what to ask /events for.
type Request struct {
	feed.Filter
	// Last is how many events of before are wanted, web.MostLast at most.
	Last int
	// Follow says whether to wait for those that come.
	Follow bool
}

// Events reads the answer of /events, line by line.
type Events struct {
	client *Client
	body   *http.Response
	lines  *bufio.Reader
}

// Events asks for events. It returns once the answer has begun.
func (c *Client) Events(ctx context.Context, request Request) (*Events, error) {
	query := url.Values{"table": request.Tables, "operation": request.Operations, "user": request.Users, "kind": request.Kinds}
	if request.Last > 0 {
		query.Set("last", strconv.Itoa(request.Last))
	}
	if !request.Follow {
		query.Set("follow", "false")
	}
	res, err := c.get(ctx, "events", query) //nolint:bodyclose // Close does
	if err != nil {
		return nil, err
	}
	const size = 64 << 10
	return &Events{client: c, body: res, lines: bufio.NewReaderSize(res.Body, size)}, nil
}

// Next returns the next line, with its end. It is the caller's. The error is io.EOF at the answer's orderly end, and an
// ErrUnreachable at any other.
func (e *Events) Next() ([]byte, error) {
	line, err := e.lines.ReadBytes('\n')
	if err == nil {
		return line, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, e.client.unreachable(err)
}

// Buffered is how many bytes can be read without waiting for the server.
func (e *Events) Buffered() int { return e.lines.Buffered() }

// Close ends the answer.
func (e *Events) Close() error { return e.body.Body.Close() }
