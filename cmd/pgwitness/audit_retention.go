package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pgwitness/internal/audit"
	"pgwitness/internal/webclient"
)

func newAuditRetentionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention --keep TIME",
		Short: "Remove what has expired, once it was delivered, and make partitions ahead",
		Long: `Remove audit rows that are older than --keep, and make partitions ahead.

Of a table that is partitioned by month, whole partitions are dropped: those that end
before what is to be kept. From another table rows are deleted, a batch a transaction.
Either happens only once the replication slot has confirmed every row that is to go, and
with --status every sink of the pgwitness there. Otherwise it is refused, with the
reason: nothing that was not delivered is removed. Of rows that are older than the slot
itself nobody can say whether they were.

Each transaction that removes something announces it to the stream, where it is
retention and not tampering, and a row with the event_type RETENTION writes down what
was removed. Rows without a date do not expire. Dates without a time zone are taken to
be wrong by a day.

Made for a timer: a second run finds nothing to do. Two never work at the same time.

Exit codes: 0, done, or nothing was to be done; 1, the rows were not delivered yet, or a
lock was not to be had: the next run may succeed; 2, usage; 3, the database is not set
up for it, such as without the slot; 4, the slot was invalidated.`,
		Example: `  # Look at the SQL, then run it
  pgwitness audit retention --dsn service=shop --keep 12mo
  pgwitness audit retention --dsn service=shop --keep 12mo --apply

  # Ask two instances whether their sinks have the rows, for up to five minutes
  pgwitness audit retention --keep 2y --apply --wait 5m \
    --status http://witness-1:9717/status --status http://witness-2:9717/status

  # Only make partitions ahead
  pgwitness audit retention --keep forever --apply`,
		Args: noArgs,
	}
	load := addConfigFlags(cmd, sourceFlags)
	var o auditOptions
	o.add(cmd)
	var r audit.Retention
	flags := cmd.Flags()
	flags.TextVar(&r.Keep, "keep", audit.Keep{}, "keep rows for this `TIME`: days, months or years, such as 90d, 12mo or 2y, or forever")
	flags.Lookup("keep").DefValue = "" // it has none
	flags.IntVar(&r.Ahead, "ahead", 3, "make the partitions of this many `MONTHS` ahead")
	flags.IntVar(&r.Batch, "batch", 5000, "delete this many `ROWS` a transaction from a table without partitions")
	flags.DurationVar(&r.Wait, "wait", 30*time.Second, "wait at most this `DURATION` for slot and sinks to get the rows")
	var addresses []string
	flags.StringArrayVar(&addresses, "status", nil, "the `URL` of a pgwitness's /status, whose sinks must have the rows too (repeatable)")
	var access webclient.Config
	addAccessFlags(cmd, &access)
	_ = cmd.MarkFlagRequired("keep") // fails only for a flag that is not there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkRetention(r, o); err != nil {
			return withCode(exitUsage, err)
		}
		for _, address := range addresses {
			client, err := webclient.New(listenerConfig(strings.TrimSuffix(address, "/status"), access))
			if err != nil {
				return fmt.Errorf("--status: %w", err)
			}
			defer client.Close()
			r.Status = append(r.Status, client)
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		r.Slot = cfg.Source.Slot
		database, err := openAudit(cmd.Context(), cfg, o.lockTimeout)
		if err != nil {
			return err
		}
		defer database.Close()
		if !o.apply {
			return database.PrintRetention(cmd.Context(), cmd.OutOrStdout(), r)
		}
		err = database.Retain(cmd.Context(), cmd.OutOrStdout(), r)
		if errors.Is(err, context.Canceled) {
			return errors.New("interrupted; what was removed was delivered before, and the next run goes on from there")
		}
		return err
	}
	return cmd
}

func checkRetention(r audit.Retention, o auditOptions) error {
	const mostAhead, mostBatch = 120, 1_000_000
	switch {
	case o.lockTimeout < time.Millisecond:
		return errors.New("--lock-timeout: want at least 1ms: writers would have to wait as long as we do")
	case r.Ahead < 0 || r.Ahead > mostAhead:
		return fmt.Errorf("--ahead: want 0 to %d months", mostAhead)
	case r.Batch < 1 || r.Batch > mostBatch:
		return fmt.Errorf("--batch: want 1 to %d rows", mostBatch)
	case r.Wait <= 0:
		return errors.New("--wait: want more than 0s: a position is confirmed a moment after it was reached")
	}
	return nil
}
