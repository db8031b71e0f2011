-- Undoes install.sql. No row is lost: the new table stays, under another name if the one that was there before takes its place
-- again, and goes only if there was none and it is empty. The schema pgwitness, which holds the key of masked values, and the role pgwitness_audit stay. Run mend.sql
-- before it, in the same transaction.

-- Lock the audited tables and the audit table
SELECT pg_temp.lock(pg_temp.captures() || ARRAY(SELECT pg_temp.writers()), 'ACCESS EXCLUSIVE');

-- From here on, nothing waits for a lock
SET LOCAL statement_timeout = 0;

-- Take off what writes into the audit table, and put the old table in its place again; its numbers continue
DO $do$
DECLARE
    aside text := to_char(current_timestamp AT TIME ZONE 'UTC', '"until"_YYYYMMDD_HH24MISS');
    old   regclass := to_regclass('public.custom_audit_log_old');
    part  regclass;
    empty boolean := NOT EXISTS (SELECT FROM public.custom_audit_log);
    last  bigint;
BEGIN
    -- The kept SQL calls the old table by the name that it had then.
    PERFORM pg_temp.undo('{install,attach}');
    IF old IS NOT NULL AND pg_get_serial_sequence('public.custom_audit_log_old', 'id') IS NOT NULL THEN
        EXECUTE format('SELECT last_value FROM %s', pg_get_serial_sequence('public.custom_audit_log', 'id')) INTO last;
        PERFORM setval(pg_get_serial_sequence('public.custom_audit_log_old', 'id'), last);
    END IF;
    IF old IS NULL AND empty THEN
        DROP TABLE public.custom_audit_log;
    ELSIF old IS NOT NULL THEN
        -- The empty one, too: pgwitness goes back to the old table only while it sees that this one was published to the end.
        FOR part IN SELECT relid FROM pg_partition_tree('public.custom_audit_log') LOOP
            EXECUTE format('ALTER TABLE %s RENAME TO %I', part,
                (SELECT replace(relname, 'custom_audit_log_', 'custom_audit_log_' || aside || '_') FROM pg_class WHERE oid = part AND relkind <> 'p'
                UNION ALL SELECT 'custom_audit_log_' || aside FROM pg_class WHERE oid = part AND relkind = 'p'));
        END LOOP;
    END IF;
    IF old IS NOT NULL THEN
        ALTER TABLE public.custom_audit_log_old RENAME TO custom_audit_log;
        IF EXISTS (SELECT FROM pgwitness.undo WHERE command = 'harden') THEN
            PERFORM pg_temp.mend('harden'); -- as it was when install came
        END IF;
    END IF;
END
$do$;
