-- Mends the unpartitioned public.custom_audit_log in place, and the trigger functions that write into it. Old rows stay as
-- they are. Run capture.sql and mend.sql before it, in the same transaction. Before it may come
--
--   SET LOCAL pgwitness.time_zone = 'Europe/Berlin'; -- in which event_timestamp was written; otherwise UTC
--   SET LOCAL pgwitness.rewrite = 'on';              -- id becomes bigint too, and any zone can be read: the table is rewritten

-- Lock the audited tables and the audit table
SELECT pg_temp.lock(ARRAY(SELECT pg_temp.writers()), 'SHARE ROW EXCLUSIVE');

-- From here on, nothing waits for a lock
SET LOCAL statement_timeout = 0;

-- Widen the columns: no name is too long, a time is the same for every reader
DO $do$
DECLARE
    zone    text := coalesce(nullif(current_setting('pgwitness.time_zone', true), ''), 'UTC');
    rewrite boolean := coalesce(nullif(current_setting('pgwitness.rewrite', true), ''), 'off');
    clauses text;
BEGIN
    SELECT string_agg(format('ALTER COLUMN %I TYPE %s', attname, CASE
            WHEN atttypid = 'varchar'::regtype THEN 'text'
            WHEN attname = 'id' THEN 'bigint'
            WHEN zone = 'UTC' THEN 'timestamptz'
            ELSE format('timestamptz USING event_timestamp AT TIME ZONE %L', zone) END), ', ') INTO clauses
    FROM pg_attribute
    WHERE attrelid = 'public.custom_audit_log'::regclass AND NOT attisdropped AND (
        attname IN ('event_type', 'user_name', 'table_name') AND atttypid = 'varchar'::regtype
        OR attname = 'event_timestamp' AND atttypid = 'timestamp'::regtype
        OR attname = 'id' AND atttypid IN ('int2'::regtype, 'int4'::regtype) AND rewrite);
    IF clauses LIKE '%USING%' AND NOT rewrite THEN
        RAISE EXCEPTION 'to read event_timestamp as of %, the table must be rewritten', zone
            USING HINT = 'Give --rewrite as well, or SET LOCAL pgwitness.rewrite = on.';
    END IF;
    PERFORM set_config('TimeZone', 'UTC', true); -- the one in which a timestamp becomes a timestamptz as it stands
    EXECUTE coalesce('ALTER TABLE public.custom_audit_log ' || clauses, '');
END
$do$;

-- Let the sequence go as far as id does
DO $do$
DECLARE
    sequence text := pg_get_serial_sequence('public.custom_audit_log', 'id');
BEGIN
    IF sequence IS NOT NULL AND 'int8'::regtype = (SELECT atttypid FROM pg_attribute
        WHERE attrelid = 'public.custom_audit_log'::regclass AND attname = 'id')
    THEN
        EXECUTE format('ALTER SEQUENCE %s AS bigint', sequence);
    END IF;
END
$do$;

-- Add what an auditor asks for besides. Old rows have nulls there
ALTER TABLE public.custom_audit_log
    ADD COLUMN IF NOT EXISTS schema_name       text,
    ADD COLUMN IF NOT EXISTS rel_oid           oid,
    ADD COLUMN IF NOT EXISTS session_user_name text,
    ADD COLUMN IF NOT EXISTS tx_id             bigint,
    ADD COLUMN IF NOT EXISTS client_addr       inet,
    ADD COLUMN IF NOT EXISTS application_name  text,
    ADD COLUMN IF NOT EXISTS actor             text,
    ADD COLUMN IF NOT EXISTS request_id        text;

-- Make the table append-only, for its owner and superusers too, and leave nobody a right but to read
SELECT pg_temp.seal('harden', 'public.custom_audit_log');

-- Let the new owner reach the table, and a sequence of id that is not the table's own
GRANT USAGE ON SCHEMA public TO pgwitness_audit;
DO $do$
DECLARE
    sequence regclass;
BEGIN
    FOR sequence IN SELECT c.oid FROM pg_attrdef a JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
            AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class c ON c.oid = d.refobjid AND relkind = 'S'
        WHERE adrelid = 'public.custom_audit_log'::regclass AND relowner <> 'pgwitness_audit'::regrole
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO pgwitness_audit', sequence);
    END LOOP;
END
$do$;

-- Let the trigger functions capture any table, with old and new images, whoever writes
SELECT pg_temp.mend('harden');
