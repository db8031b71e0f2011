package main

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"time"
)

const (
	diskLine  = 400 // bytes, about an event
	diskTimes = 500
)

// quantiles are the middle and the tail of a distribution.
type quantiles struct{ p50, p99 time.Duration }

// measureDisk appends a line to a file in dir and makes it durable, again and again, and returns how long that took.
func measureDisk(dir string) (_ quantiles, err error) {
	file, err := os.CreateTemp(dir, "disk-")
	if err != nil {
		return quantiles{}, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	line := bytes.Repeat([]byte{'x'}, diskLine)
	took := make([]time.Duration, diskTimes)
	for i := range took {
		began := time.Now()
		if _, err := file.Write(line); err != nil {
			return quantiles{}, err
		}
		if err := syncData(file); err != nil {
			return quantiles{}, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return quantiles{p50: took[len(took)/2], p99: took[len(took)*99/100]}, nil
}
