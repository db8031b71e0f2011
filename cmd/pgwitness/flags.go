package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"pgwitness/internal/config"
)

// keyFlag is a flag that sets a key of the configuration.
type keyFlag struct {
	name  string
	key   string
	value string // what the help calls the value
	usage string
}

// sourceFlags are for every command that connects to the database, and runFlags for the one that delivers as well.
var (
	sourceFlags = []keyFlag{
		{"dsn", "source.dsn", "DSN", "how to connect, without a password: a URL or keyword=value pairs (default: the PG* variables)"},
		{"table", "source.table", "SCHEMA.NAME", "the audit table (default public.custom_audit_log)"},
		{"slot", "source.slot", "NAME", "the replication slot (default pgwitness)"},
		{"publication", "source.publication", "NAME", "the publication that holds the table (default pgwitness)"},
		{"log-level", "log.level", "LEVEL", "debug, info, warn or error (default info)"},
		{"log-format", "log.format", "FORMAT", "auto, text or json (default auto: text on a terminal)"},
	}
	runFlags = append(slices.Clip(sourceFlags), []keyFlag{
		{"sink", "sinks", "SINK", "where events go, instead of the configured sinks: stdout or file:PATH (repeatable)"},
		{"listen", "http.listen", "ADDRESS", `serve /metrics, /healthz, /readyz and /status here, or "off" (default :9717)`},
		{"state-dir", "state_dir", "DIR", "what is remembered between runs (default /var/lib/pgwitness)"},
	}...)
)

// addConfigFlags gives cmd --config and flags. It returns a function that loads the configuration that they, the
// environment and the file make; to be called once the flags are parsed.
func addConfigFlags(cmd *cobra.Command, flags []keyFlag) (load func() (*config.Config, error)) {
	set := cmd.Flags()
	file := set.StringP("config", "c", "", "read the configuration from the YAML `FILE` (default: what PGWITNESS_CONFIG names)")
	for _, flag := range flags {
		set.Var(&values{placeholder: flag.value}, flag.name, flag.usage)
	}
	return func() (*config.Config, error) {
		options := config.Options{File: *file}
		for _, flag := range flags {
			for _, value := range set.Lookup(flag.name).Value.(*values).given {
				options.Flags = append(options.Flags, config.Flag{Name: "--" + flag.name, Key: flag.key, Value: value})
			}
		}
		if err := refuseSecrets(options.Flags); err != nil {
			return nil, err
		}
		return config.Load(options)
	}
}

// refuseSecrets refuses a password on the command line, where every user of the machine can read it.
func refuseSecrets(flags []config.Flag) error {
	for _, flag := range flags {
		if flag.Key == "source.dsn" && config.HasPassword(flag.Value) {
			return withCode(exitUsage, fmt.Errorf("%s: holds a password, which every user of this machine can read here: "+
				"put it in PGPASSWORD, ~/.pgpass or the file that PGWITNESS_SOURCE_PASSWORD_FILE names", flag.Name))
		}
	}
	return nil
}

// values is the pflag.Value that collects what a flag was given, each time it was.
type values struct {
	given       []string
	placeholder string
}

// Set adds a value.
func (v *values) Set(value string) error {
	v.given = append(v.given, value)
	return nil
}

// String returns nothing: the help gives the defaults in words.
func (v *values) String() string { return "" }

// Type returns what the help calls the value.
func (v *values) Type() string { return v.placeholder }
