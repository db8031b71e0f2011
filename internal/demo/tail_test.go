package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTail goes through what a killed consumer and the one after it do to the file.
func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	reader := tail{path: path}
	t.Cleanup(func() { reader.close() })
	long := strings.Repeat("x", 3*tailBuffer) + "\n"
	steps := []struct {
		name   string
		cut    int64 // bytes to cut from the end first
		append string
		want   string
	}{
		{"no file", 0, "", ""},
		{"two lines", 0, "a\nbb\n", "a\nbb\n"},
		{"a torn line", 0, "cc", ""},
		{"cut, and another one", 2, "dd\n", "dd\n"},
		{"the rest follows", 0, "e", ""},
		{"and here it is", 0, "e\nf", "ee\n"},
		{"a line longer than the buffer", 1, long, long},
		{"nothing new", 0, "", ""},
	}
	for i, step := range steps {
		if i > 0 {
			file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			info, err := file.Stat()
			if err == nil {
				err = file.Truncate(info.Size() - step.cut)
			}
			if err == nil {
				_, err = file.WriteString(step.append)
			}
			if err = errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
		}
		got, err := reader.next()
		if err != nil || string(got) != step.want {
			t.Errorf("%s: got %.20q (%d bytes), error %v; want %.20q", step.name, got, len(got), err, step.want)
		}
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	reader := tail{path: path}
	t.Cleanup(func() { reader.close() })
	end := make(chan struct{})
	if err := reader.follow(t.Context(), end, time.Millisecond, func(lines []byte) error {
		got.Write(lines)
		if got.Len() == 2 {
			// What is there when the end is told belongs to it.
			if err := os.WriteFile(path, []byte("a\nb\n"), 0o600); err != nil {
				return err
			}
			close(end)
		}
		return nil
	}); err != nil || got.String() != "a\nb\n" {
		t.Errorf("got %q, error %v", got.String(), err)
	}

	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := reader.follow(ctx, nil, time.Millisecond, nil); !errors.Is(err, cause) {
		t.Errorf("error %v when cancelled", err)
	}
	failure := errors.New("failure")
	again := tail{path: path}
	t.Cleanup(func() { again.close() })
	if err := again.follow(t.Context(), nil, time.Millisecond, func([]byte) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("error %v when use fails", err)
	}
}
