-- Who may have made a statement of `pgwitness init` wait, as one JSON document: the holders of locks that CREATE
-- PUBLICATION conflicts with on the table $1, or, where $1 is null, the transactions that have written, in every database,
-- whose end a new slot waits for. $2 is how long it waited, in seconds: who began later was not waited for.
-- pg_locks shows everybody's; some columns of pg_stat_activity are null without pg_read_all_stats.
WITH holder AS (
    SELECT DISTINCT l.pid, l.virtualtransaction
    FROM pg_locks l
    WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
        AND CASE WHEN $1::text IS NULL THEN l.locktype = 'transactionid'
            ELSE l.locktype = 'relation' AND l.relation = $1::text::regclass
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') END
)
SELECT coalesce(json_agg(b ORDER BY b.age DESC NULLS LAST), '[]')
FROM (
    SELECT h.pid, a.usename AS "user", a.application_name AS application, a.datname AS database, a.state, '' AS gid,
        extract(epoch FROM clock_timestamp() - a.xact_start) AS age
    FROM holder h JOIN pg_stat_activity a ON a.pid = h.pid
    UNION
    SELECT 0, x.owner, '', x.database, '', x.gid, extract(epoch FROM clock_timestamp() - x.prepared)
    FROM holder h
        JOIN pg_locks t ON t.locktype = 'transactionid' AND t.pid IS NULL AND t.virtualtransaction = h.virtualtransaction
        JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
    WHERE h.pid IS NULL
) b
WHERE b.age IS NULL OR b.age >= $2::float8
