package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
	"pgwitness/internal/config"
)

func newAuditAttachCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attach SCHEMA.TABLE...",
		Short: "Audit tables: put the triggers on",
		Long: `Audit tables: put the triggers on that write each INSERT, UPDATE, DELETE and TRUNCATE into
the audit table, whatever session_replication_role is. A partitioned table is attached
with its partitions, those to come too.

What no flag says stays as it is for a table that is attached already, and is the default
for another. A second run finds nothing to do. A trigger of custom_audit_trigger_function
is replaced, so that nothing is written twice. --table names the audit table.

Row mode sees everything. Statement mode writes a whole statement's rows at once, which is
several times cheaper for bulk changes and dearer for single rows; it sees neither
partitions, nor tables that inherit, nor what a subscription writes.`,
		Example: `  # Look at the SQL, then run it
  pgwitness audit attach public.orders public.customers
  pgwitness audit attach public.orders public.customers --apply

  # Everything in a schema; a password hash in no audit row, a card number recognisable only
  pgwitness audit attach --all-in public --apply
  pgwitness audit attach public.users --exclude password_hash --mask card_number --apply`,
		Args: cobra.ArbitraryArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var (
		o        auditOptions
		attach   audit.Attach
		maxValue string
	)
	o.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&attach.Schemas, "all-in", nil, "attach every table of this `SCHEMA` that can be (repeatable)")
	flags.StringVar(&attach.Mode, "mode", "", "row or statement (default row)")
	flags.StringArrayVar(&attach.Exclude, "exclude", nil, "a `COLUMN` that appears in no audit row, spelled as in the catalog (repeatable; \"\" for none)")
	flags.StringArrayVar(&attach.Mask, "mask", nil, "a `COLUMN` of which only an HMAC appears (repeatable; \"\" for none)")
	flags.StringVar(&attach.Images, "images", "", "both, or changed: of an UPDATE only the columns that changed (default both)")
	flags.StringVar(&attach.Fail, "fail", "", "what becomes of a change that cannot be audited: closed refuses it, open lets it pass and writes that it could not (default closed)")
	flags.StringVar(&maxValue, "max-value", "", "leave out values beyond this `SIZE`, and write how large they are (default 1MiB)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if attach.Tables, err = tableArguments(args); err != nil {
			return withCode(exitUsage, err)
		}
		if attach.MaxValue, err = checkAttachFlags(&attach, maxValue); err != nil {
			return withCode(exitUsage, err)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), cfg, cmd.OutOrStdout(), func(ctx context.Context, d *audit.Database) (audit.Script, error) {
			return d.Attach(ctx, attach)
		})
	}
	return cmd
}

func checkAttachFlags(attach *audit.Attach, maxValue string) (bytes int64, err error) {
	if len(attach.Tables) == 0 && len(attach.Schemas) == 0 {
		return 0, errors.New("no table: give SCHEMA.TABLE, or --all-in SCHEMA")
	}
	for _, choice := range []struct{ flag, given, usual, other string }{
		{"--mode", attach.Mode, "row", "statement"},
		{"--images", attach.Images, "both", "changed"},
		{"--fail", attach.Fail, "closed", "open"},
	} {
		if choice.given != "" && choice.given != choice.usual && choice.given != choice.other {
			return 0, fmt.Errorf("%s: want %s or %s", choice.flag, choice.usual, choice.other)
		}
	}
	for _, columns := range []*[]string{&attach.Exclude, &attach.Mask} {
		if *columns != nil { // nil leaves them as they are
			*columns = slices.DeleteFunc(*columns, func(name string) bool { return name == "" })
		}
	}
	if maxValue == "" {
		return 0, nil
	}
	var size config.Size
	if err := size.UnmarshalText([]byte(maxValue)); err != nil {
		return 0, fmt.Errorf("--max-value: %w", err)
	}
	const least, most = 64, 64 << 20 // PostgreSQL holds a jsonb string up to 256 MiB, and an image may have several
	if size < least || size > most {
		return 0, fmt.Errorf("--max-value: want %s to %s", config.Size(least), config.Size(most))
	}
	return int64(size), nil
}

// tableArguments reads a command's arguments as names of tables.
func tableArguments(args []string) ([]config.Table, error) {
	tables := make([]config.Table, len(args))
	for i, arg := range args {
		if err := tables[i].UnmarshalText([]byte(arg)); err != nil {
			hint := ""
			if bare := (config.Table{}); bare.UnmarshalText([]byte("public."+arg)) == nil {
				hint = fmt.Sprintf(": did you mean %s?", bare)
			}
			return nil, fmt.Errorf("%s: %w%s", quoteArgument(arg), err, hint)
		}
	}
	return tables, nil
}
