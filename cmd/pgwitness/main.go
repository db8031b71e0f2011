// Command pgwitness streams the audit table of a PostgreSQL database to the places where audit data is kept.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pgwitness/internal/embeddedpg"
)

func main() {
	if embeddedpg.RunChild() {
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code. The first SIGINT or SIGTERM cancels the command's context.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := notifySignals(context.Background(), os.Exit)
	defer stop()
	return execute(ctx, newRootCommand(), args, stdout, stderr)
}

// execute runs the command of root that args name. An error becomes one line on stderr and an exit code; what fails before
// the command itself has begun is a mistake in args.
func execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addCompletionCommand(root)
	began := markBegin(root)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case !*began:
		err = withCode(exitUsage, err)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitDone // a signal asked for this
	case errors.Is(err, errTold):
		return exitCode(err)
	}
	fmt.Fprintf(stderr, "pgwitness: %s\n", oneLine(err.Error()))
	return exitCode(err)
}
