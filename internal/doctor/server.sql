-- The server, its settings, the slot and the connection itself, as one JSON document.
-- $1 slot.
WITH here AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END AS lsn
)
SELECT json_build_object(
    'user', current_user,
    'superuser', current_setting('is_superuser') = 'on',
    'replicates', (SELECT rolreplication FROM pg_roles WHERE rolname = current_user),
    'sees_sessions', pg_has_role('pg_read_all_stats', 'USAGE'),
    'remote', coalesce(inet_client_addr() <> inet_server_addr() AND NOT inet_client_addr() <<= '127.0.0.0/8', false),
    'tls', (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
    'time_zone', (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'),
    -- What a version does not have is left out.
    'settings', (SELECT json_object_agg(name, json_build_object('value', setting, 'shown', current_setting(name)))
        FROM pg_settings WHERE name IN ('max_slot_wal_keep_size', 'idle_replication_slot_timeout', 'synchronized_standby_slots', 'wal_sender_timeout',
            'logical_decoding_work_mem', 'autovacuum', 'session_replication_role')),
    'standbys', (SELECT count(*) FROM pg_stat_replication r
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))
        + (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active),
    'slot', (SELECT to_jsonb(s) || jsonb_build_object(
            'retained', here.lsn - s.restart_lsn, 'lag', here.lsn - s.confirmed_flush_lsn,
            'consumer', (SELECT usename FROM pg_stat_activity a WHERE a.pid = s.active_pid),
            'spill', (SELECT to_jsonb(p) FROM pg_stat_replication_slots p WHERE p.slot_name = s.slot_name))
        FROM pg_replication_slots s, here WHERE s.slot_name = $1::text),
    'prepared', (SELECT coalesce(json_agg(json_build_object('gid', quote_literal(gid), 'owner', owner, 'database', database,
            'seconds', extract(epoch FROM clock_timestamp() - prepared)) ORDER BY prepared), '[]') FROM pg_prepared_xacts),
    -- Those that have written hold the slot back, in whatever database they are. Without pg_read_all_stats, the columns
    -- of other roles' sessions are null.
    'transactions', (SELECT coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'application', application_name,
            'database', datname, 'state', state, 'seconds', extract(epoch FROM clock_timestamp() - xact_start)) ORDER BY xact_start), '[]')
        FROM pg_stat_activity WHERE backend_type = 'client backend' AND backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '5 minutes'))
