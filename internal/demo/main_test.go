package demo

import (
	"fmt"
	"os"
	"os/signal"
	"testing"

	"pgwitness/internal/embeddedpg/pgtest"
)

// fakeEnv has the test binary, started as `pgwitness run`, behave in one of several ways.
const fakeEnv = "TEST_BINARY_AS_CONSUMER"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(fakeEnv); behaviour != "" {
		fakeConsumer(behaviour)
		return
	}
	pgtest.Main(m)
}

// fakeConsumer adds a line to the file that TEST_FILE names, and then does as told.
func fakeConsumer(behaviour string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, terminate)
	file, err := os.OpenFile(os.Getenv("TEST_FILE"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if behaviour == "fails" {
		fmt.Fprintln(os.Stderr, "why it fails")
		os.Exit(4)
	}
	<-asked
	if behaviour == "fails when asked to stop" {
		os.Exit(1)
	}
}
