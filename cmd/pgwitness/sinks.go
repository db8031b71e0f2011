package main

import (
	"errors"
	"fmt"
	"log/slog"

	"pgwitness/decoder"
	"pgwitness/internal/config"
	"pgwitness/internal/pipeline"
	"pgwitness/sink"
	"pgwitness/sink/file"
	"pgwitness/sink/stdout"
)

func sinkNames(configured []config.Sink) []string {
	names := make([]string, len(configured))
	for i, c := range configured {
		names[i] = c.Name
	}
	return names
}

// newSinks makes the configured sinks, out excepted: standard output is the process's, and the sink knows how far it got. They
// are opened once the stream is known.
func newSinks(configured []config.Sink, out *stdout.Sink, log *slog.Logger) ([]pipeline.Destination, error) {
	destinations := make([]pipeline.Destination, 0, len(configured))
	for _, c := range configured {
		d, err := newDestination(c, out, log.With("sink", c.Name))
		if err != nil {
			return nil, fmt.Errorf("sink %s: %w", c.Name, err)
		}
		destinations = append(destinations, d)
	}
	return destinations, nil
}

func newDestination(c config.Sink, out *stdout.Sink, log *slog.Logger) (pipeline.Destination, error) {
	d := pipeline.Destination{Name: c.Name, Filter: newFilter(c)}
	var err error
	if d.Sink, err = newSink(c, out, log); err != nil {
		return d, err
	}
	if c.DeadLetter != "" {
		// A file of ours knows its position, so that a crash leaves no dead letter twice.
		if d.DeadLetters, err = file.New(file.Config{Path: c.DeadLetter, Logger: log}); err != nil {
			return d, fmt.Errorf("dead_letter: %w", err)
		}
	}
	return d, nil
}

func newSink(c config.Sink, out *stdout.Sink, log *slog.Logger) (sink.Sink, error) {
	switch c.Type {
	case config.SinkStdout:
		return out, nil
	case config.SinkFile:
		return file.New(file.Config{
			Path: c.File.Path, RotateSize: int64(c.File.RotateSize), RotateEvery: c.File.RotateEvery,
			Compress: c.File.Compress, Keep: c.File.Keep, Logger: log,
		})
	}
	return nil, withCode(exitUsage, errors.New("unknown type "+c.Type))
}

func newFilter(c config.Sink) pipeline.Filter {
	tables := func(configured config.Tables) (names []pipeline.TableName) {
		for _, t := range configured {
			names = append(names, pipeline.TableName(t))
		}
		return names
	}
	f := pipeline.Filter{Tables: tables(c.OnlyTables), ExceptTables: tables(c.ExceptTables)}
	for _, word := range c.OnlyOperations {
		for op := range decoder.NumOps {
			if op.String() == word {
				f.Operations = append(f.Operations, op)
			}
		}
	}
	return f
}
