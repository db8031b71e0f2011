package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pgwitness/internal/config"
)

const rootLong = `pgwitness follows the audit table of a PostgreSQL database through logical replication
and delivers every committed row, in commit order, to the places where audit data is kept.
A row is confirmed to the database only once every sink has made it durable.`

const rootExample = `  # Print the SQL that sets up role, publication and slot; run it with --apply
  pgwitness init --dsn postgres://admin@db.example.com/shop

  # Follow the audit table into a file; libpq's PG* variables and .pgpass work too
  export PGWITNESS_SOURCE_PASSWORD_FILE=/run/secrets/pgwitness
  pgwitness run --dsn postgres://pgwitness@db.example.com/shop --sink file:audit.jsonl

  # Everything from a file
  pgwitness run --config /etc/pgwitness.yaml`

const rootHelp = `{{.Long}}

Usage:
  pgwitness COMMAND [FLAGS]

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}

Examples:
{{.Example}}

Configuration:
  A flag overrides an environment variable, which overrides the file (--config or
  PGWITNESS_CONFIG). The key source.slot is the variable PGWITNESS_SOURCE_SLOT.

Exit codes:
  0  done, or asked to stop             3  the database is not set up for pgwitness
  1  failed; a restart may help         4  evidence was or may have been lost
  2  usage or configuration             5  a check found differences, or problems
  A second SIGINT or SIGTERM leaves at once, with 128 plus the signal's number.

pgwitness COMMAND --help tells more about a command.
`

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "pgwitness",
		Short:   "Witness every committed row of a PostgreSQL audit table",
		Long:    rootLong,
		Example: rootExample,
		Version: readBuildInfo().Version,
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate(readBuildInfo().String() + "\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newAuditCommand(),
		newDemoCommand(),
		newDoctorCommand(),
		newInitCommand(),
		newManCommand(),
		newRunCommand(),
		newStageCommand(),
		newStatusCommand(),
		newTailCommand(),
		newVersionCommand(),
	)
	root.SetHelpCommand(newHelpCommand())
	addCompletions(root)

	inherited := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd == root {
			cmd.SetHelpTemplate(rootHelp)
		}
		inherited(cmd, args)
	})
	return root
}

// newHelpCommand replaces cobra's, which leaves with 0 when there is no such command.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Args: func(cmd *cobra.Command, args []string) error {
			if found, rest, err := cmd.Root().Find(args); err != nil || found == cmd.Root() {
				return knownCommand(cmd.Root(), rest)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, _, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			return found.Help()
		},
	}
}

// addCompletionCommand adds cobra's, which writes to what root's output is now.
func addCompletionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Short = "Print a shell's completion script"
		completion.Args = wantShell
		completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// wantShell refuses a completion without one of its subcommands, for which cobra prints the help and leaves with 0.
func wantShell(cmd *cobra.Command, args []string) error {
	var shells []string
	for _, shell := range cmd.Commands() {
		shells = append(shells, shell.Name())
	}
	problem := "missing argument"
	if len(args) > 0 {
		problem = "unknown shell " + quoteArgument(args[0])
	}
	return fmt.Errorf("%s: %s wants one of %s", problem, cmd.CommandPath(), strings.Join(shells, ", "))
}

// markBegin makes every command of root set began before it starts its work. Until then an error is one of usage.
func markBegin(root *cobra.Command) (began *bool) {
	began = new(bool)
	var mark func(*cobra.Command)
	mark = func(cmd *cobra.Command) {
		if body := cmd.RunE; body != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				*began = true
				return body(cmd, args)
			}
		}
		for _, child := range cmd.Commands() {
			mark(child)
		}
	}
	mark(root)
	return began
}

// knownCommand refuses what the root command would otherwise take as its arguments.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = fmt.Sprintf("did you mean %s? ", strings.Join(similar, " or "))
	}
	return fmt.Errorf("unknown command %s: %spgwitness --help lists the commands", quoteArgument(args[0]), hint)
}

// noArgs refuses arguments that are no flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %s: %s takes flags only, see %[2]s --help", quoteArgument(args[0]), cmd.CommandPath())
}

// quoteArgument quotes an argument for an error, unless it may be a connection string, which may hold a password.
func quoteArgument(arg string) string {
	if strings.Contains(arg, "://") || strings.Contains(arg, "=") {
		return "that looks like a connection string"
	}
	return fmt.Sprintf("%q", arg)
}

// flagError words pflag's errors, without the rest of a cluster of short flags, which may be a value.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
	}
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("unknown flag -%s: see %s --help", name[:1], cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return fmt.Errorf("unknown flag --%s: did you mean --%s? See %s --help", name, config.Nearest(name, names), cmd.CommandPath())
}
