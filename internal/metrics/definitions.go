package metrics

// definitions are all metrics, by area, each once: its help text and docs/METRICS.md are made of this.
var definitions = []Definition{
	{
		Area: "Process", Name: namespace + "_build_info", Type: Gauge, Labels: []string{"version", "commit", "goversion"},
		Meaning: "Always 1; the labels say which build this is.",
	},
	{
		Area: "Process", Name: namespace + "_source_info", Type: Gauge, Labels: []string{"source", "slot"},
		Meaning: "Always 1; the labels say which slot of which source this process is for, and so which processes are a pair. " +
			"Joined with it by job and instance, every other metric is one of a slot, as in the alerts.",
	},
	{
		Area: "Process", Name: namespace + "_active", Type: Gauge,
		Meaning: "1 while this process streams from the slot, 0 otherwise.",
		Action:  "Of all processes of one slot exactly one should be active.",
	},
	{
		Area: "Process", Name: namespace + "_standby", Type: Gauge,
		Meaning: "1 while this process waits for the slot, which another consumer has, 0 otherwise.",
		Action: "In a pair it is 1 on the one that is not active. Alone, somebody else streams from the slot: find who in " +
			"pg_stat_replication.",
	},
	{
		Area: "Process", Name: namespace + "_run_ended", Type: Gauge, Labels: []string{"exit_code"},
		Meaning: "1 once the run has ended with this exit code and the process lingers (http.linger) so that it is seen, 0 " +
			"otherwise: 3 is a database that is not set up, 4 is evidence that was or may have been lost.",
		Action: "The last line of the log says what, where and what to do; nothing is delivered until then.",
	},
	{
		Area: "Source", Name: namespace + "_source_connected", Type: Gauge,
		Meaning: "1 while PostgreSQL answers this process, on the replication connection or on the one that reads the catalog.",
		Action:  "If it stays 0, pgwitness_source_reconnects_total says why.",
	},
	{
		Area: "Source", Name: namespace + "_source_reconnects_total", Type: Counter, Labels: []string{"reason"},
		Meaning: "Replication connections that were lost or could not be made, by reason; another one is tried until it works.",
		Action:  "\"auth\" wants the credentials, \"slot_busy\" the other consumer of the slot looked at.",
	},
	{
		Area: "Source", Name: namespace + "_source_timeline", Type: Gauge,
		Meaning: "Timeline of the server that was last read from; absent before the first time.",
		Action:  "It changes with a promotion or a restore: pgwitness then needs a slot that came along.",
	},
	{
		Area: "Source", Name: namespace + "_source_clock_offset_seconds", Type: Gauge,
		Meaning: "The server's clock minus ours, by the middle of a round trip; absent before the first measurement.",
		Action:  "Every latency and age here is off by as much: beyond a second, look after NTP on both.",
	},
	{
		Area: "Source", Name: namespace + "_received_lsn_bytes", Type: Gauge,
		Meaning: "WAL position up to which the server has sent, in bytes; 0 before the first.",
		Action:  "What it is ahead of pgwitness_confirmed_lsn_bytes has been received and is not confirmed yet.",
	},
	{
		Area: "Source", Name: namespace + "_confirmed_lsn_bytes", Type: Gauge,
		Meaning: "Flush position that the server was told, in bytes; 0 before the first. Everything before it is durable in every " +
			"sink.",
		Action: "If it stands still while the received one moves, a sink fails: see pgwitness_sink_failures_total.",
	},
	{
		Area: "Source", Name: namespace + "_decode_errors_total", Type: Counter,
		Meaning: "Messages of the server that could not be decoded.",
		Action:  "Each stops the stream without confirming anything at or after it: keep the slot and report the logged error.",
	},
	{
		Area: "Events", Name: namespace + "_transactions_total", Type: Counter,
		Meaning: "Transactions with at least one event that every sink has made durable as a whole.",
	},
	{
		Area: "Events", Name: namespace + "_events_total", Type: Counter, Labels: []string{"op"},
		Meaning: "Events that every sink has made durable, by operation on the audit table: \"insert\" is a row that a trigger " +
			"wrote, anything else is a change to evidence, or its retention.",
	},
	{
		Area: "Events", Name: namespace + "_tamper_events_total", Type: Counter, Labels: []string{"op"},
		Meaning: "Durable events of changes to rows that were already in the audit table, by operation.",
		Action: "Any increase means that somebody altered evidence: find the events of kind \"tamper\" in the sinks, and who did " +
			"it. The exemplar has the LSN and the transaction's id.",
	},
	{
		Area: "Events", Name: namespace + "_retention_events_total", Type: Counter,
		Meaning: "Durable events of audit rows that were deleted in a transaction which had announced it, as `pgwitness audit " +
			"retention` does.",
		Action: "Whoever may delete audit rows can announce it: look after any increase that your schedule does not explain.",
	},
	{
		Area: "Events", Name: namespace + "_incomplete_events_total", Type: Counter,
		Meaning: "Durable audit events of a DELETE that do not say what was deleted: the trigger wrote nothing but nulls.",
		Action:  "They are delivered as they are, and what they left out is nowhere; `pgwitness audit harden` mends the trigger.",
	},
	{
		Area: "Events", Name: namespace + "_audited_operations_total", Type: Counter, Labels: []string{"operation"},
		Meaning: "Durable audit rows by the operation on the application's table that their event_type names; \"other\" is any " +
			"other word.",
	},
	{
		Area: "Events", Name: namespace + "_audited_rows_total", Type: Counter, Labels: []string{"table", "operation"},
		Meaning: "Durable audit rows by the application's table, with its schema where the row names it, and by operation. Only " +
			"with metrics.tables, for so many tables, first come; the rest is the table \"other\".",
		Action: "If \"other\" is large, raise metrics.tables. A table that stands still while it is written to has lost its " +
			"trigger: see `pgwitness audit coverage`.",
	},
	{
		Area: "Events", Name: namespace + "_audited_user_rows_total", Type: Counter, Labels: []string{"user"},
		Meaning: "Durable audit rows by their user_name. Only with metrics.users, for so many users, first come; the rest is " +
			"\"other\".",
	},
	{
		Area: "Events", Name: namespace + "_last_event_timestamp_seconds", Type: Gauge,
		Meaning: "When the transaction of the newest durable event committed, by the server's clock, in Unix time; absent before " +
			"the first event.",
		Action: "If it is older than your application is ever quiet, either nothing is written or nothing is captured: `pgwitness " +
			"doctor` tells which.",
	},
	{
		Area: "Events", Name: namespace + "_commit_to_durable_seconds", Type: Histogram,
		Meaning: "Time from a transaction's commit to when every sink had all of it durable, by the server's clock and ours.",
		Action: "Keep both set by NTP. If it grows, the slowest sink does, or the connection is being made up for. The exemplar is " +
			"the slowest of its batch.",
	},
	{
		Area: "Events", Name: namespace + "_batch_events", Type: Histogram,
		Meaning: "Events in a batch, which is what piled up while the sinks were busy with the one before.",
		Action:  "Large ones alone say that the sinks set the pace.",
	},
	{
		Area: "Events", Name: namespace + "_batch_bytes", Type: Histogram,
		Meaning: "Size of a batch's events in the native format.",
	},
	{
		Area: "Events", Name: namespace + "_buffer_bytes", Type: Gauge,
		Meaning: "Memory of the events that were received and are not durable in every sink yet.",
		Action:  "At its limit reading pauses and WAL piles up on the server instead: mend or speed up the slowest sink.",
	},
	{
		Area: "Events", Name: namespace + "_buffer_limit_bytes", Type: Gauge,
		Meaning: "What buffer.max_bytes sets as the bound of pgwitness_buffer_bytes, which one large row may exceed.",
	},
	{
		Area: "Sinks", Name: namespace + "_sink_attempts_total", Type: Counter, Labels: []string{"sink"},
		Meaning: "Writes to the sink that were begun, each of one batch, repetitions after a failure included.",
	},
	{
		Area: "Sinks", Name: namespace + "_sink_failures_total", Type: Counter, Labels: []string{"sink", "reason"},
		Meaning: "Attempts to open the sink or to write to it that failed, by reason. Nothing is lost by them: the same events are " +
			"tried again, and nothing is confirmed to the database meanwhile.",
		Action: "While it increases, mend the sink; the log has the error.",
	},
	{
		Area: "Sinks", Name: namespace + "_sink_delivered_events_total", Type: Counter, Labels: []string{"sink"},
		Meaning: "Events that the sink has made durable.",
	},
	{
		Area: "Sinks", Name: namespace + "_sink_delivered_bytes_total", Type: Counter, Labels: []string{"sink"},
		Meaning: "Size of the events that the sink has made durable, in the native format and before any compression.",
	},
	{
		Area: "Sinks", Name: namespace + "_sink_last_success_timestamp_seconds", Type: Gauge, Labels: []string{"sink"},
		Meaning: "When the sink last made events durable, in Unix time; 0 if it has not yet.",
		Action: "Old is bad only while there is something to write: see pgwitness_sink_failures_total and " +
			"pgwitness_slot_confirmed_lag_bytes.",
	},
	{
		Area: "Sinks", Name: namespace + "_filtered_events_total", Type: Counter, Labels: []string{"sink"},
		Meaning: "Audit events that the sink was not given because its filter leaves them out, as configured.",
		Action:  "Such a sink does not hold everything: see that another one does.",
	},
	{
		Area: "Sinks", Name: namespace + "_dead_letter_events_total", Type: Counter, Labels: []string{"sink"},
		Meaning: "Events that the sink refused for good and that are durable in its dead-letter file instead.",
		Action: "Each is evidence that its destination does not have: read the file, mend the cause, and deliver them by " +
			"hand.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_last_read_timestamp_seconds", Type: Gauge,
		Meaning: "When the slot was last read from the catalog, in Unix time; 0 if it was not yet.",
		Action: "If it is old, so are the other pgwitness_slot metrics: the second connection, which the stream does not need, " +
			"fails; the log says why.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_active", Type: Gauge,
		Meaning: "1 if the catalog says that a consumer is connected to the slot.",
		Action:  "0 for long means that WAL piles up on the server.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_inactive_since_timestamp_seconds", Type: Gauge,
		Meaning: "Since when nobody is connected to the slot, in Unix time; absent while somebody is, and before PostgreSQL 17.",
		Action:  "Start pgwitness again before the disk fills, or the slot reaches idle_replication_slot_timeout and is lost.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_retained_wal_bytes", Type: Gauge,
		Meaning: "WAL that the server keeps on its disk for the slot.",
		Action: "If it grows without end, the disk fills: mend what holds pgwitness_confirmed_lsn_bytes back, or end the " +
			"transaction that has been open for so long.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_confirmed_lag_bytes", Type: Gauge,
		Meaning: "WAL between the slot's flush position and the server's, of all tables.",
		Action:  "It shrinks as soon as the sinks keep up.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_safe_wal_bytes", Type: Gauge,
		Meaning: "WAL that can still be written before the slot may be invalidated and evidence lost; negative if it is past that. " +
			"Absent where max_slot_wal_keep_size sets no limit.",
		Action: "Act long before 0: raise that setting or mend the sink.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_wal_status", Type: Gauge, Labels: []string{"status"},
		Meaning: "1 for the slot's wal_status, 0 for the others.",
		Action: "\"unreserved\" is the last moment to act: raise max_slot_wal_keep_size or mend what is behind; with \"lost\" the " +
			"stream has ended, and rows must be taken from the table.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_spilled_transactions_total", Type: Counter,
		Meaning: "Transactions that the server wrote to its disk while decoding, since they exceeded logical_decoding_work_mem. It " +
			"begins anew where the server's statistics do.",
		Action: "Many are slow: raise logical_decoding_work_mem for this role, or write in smaller transactions.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_spilled_bytes_total", Type: Counter,
		Meaning: "Size of what was written to disk while decoding, as pgwitness_slot_spilled_transactions_total counts it.",
		Action:  "It passes through pg_replslot on the server's disk: see that there is room.",
	},
	{
		Area: "Slot", Name: namespace + "_slot_failover_enabled", Type: Gauge,
		Meaning: "1 if the slot is to be synchronised to standbys; absent before PostgreSQL 17.",
		Action:  "With 0 a failover loses the slot and rows with it: `pgwitness init` shows how to enable it.",
	},
	{
		Area: "Standbys", Name: namespace + "_standby_slot_ready", Type: Gauge, Labels: []string{"standby"},
		Meaning: "1 if the standby has a copy of the slot that survives a failover: synced AND NOT temporary AND " +
			"invalidation_reason IS NULL. 0 otherwise, and while the standby cannot be asked. Only for the standbys of " +
			"source.standby_dsn_file.",
		Action: "Do not fail over to a standby with 0. It wants sync_replication_slots = on, hot_standby_feedback = on, and " +
			"primary_slot_name; the log of the standby says what is missing.",
	},
	{
		Area: "Standbys", Name: namespace + "_standby_last_read_timestamp_seconds", Type: Gauge, Labels: []string{"standby"},
		Meaning: "When the standby last answered, in Unix time; 0 if it has not yet.",
		Action:  "If it is old, pgwitness cannot reach the standby: the log says why.",
	},
	{
		Area: "Audit table", Name: namespace + "_audit_table_bytes", Type: Gauge,
		Meaning: "Size of the audit table on the server's disk, with its partitions, indexes and out-of-line values; absent before " +
			"it was read, and while it is locked.",
		Action: "It needs no grant. If it grows beyond what the disk bears, see `pgwitness audit retention`.",
	},
	{
		Area: "Audit table", Name: namespace + "_audit_table_oldest_row_timestamp_seconds", Type: Gauge,
		Meaning: "The event_timestamp of the audit row with the lowest primary key, in Unix time, read as UTC where the column has " +
			"no time zone. Absent where the role may not read the table (GRANT SELECT), where there is no such column or key, " +
			"and while the table is empty.",
		Action: "If it is older than what must be kept, retention does not run: see `pgwitness audit retention`.",
	},
}
