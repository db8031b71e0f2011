-- What harden.sql, install.sql and their undo share: functions that end with the session. Run it after capture.sql, in the same transaction:
--
--   psql --single-transaction -v ON_ERROR_STOP=1 -f scripts/capture.sql -f scripts/mend.sql -f scripts/harden.sql
--
-- The triggers that it mends are those of the function custom_audit_trigger_function in the audit table's schema. Others are
-- named by SET LOCAL pgwitness.functions = 'mine,schema.yours'.

-- Names are looked up where nobody else can put any, and printed with their schemas
SET LOCAL search_path = pg_catalog, pg_temp;

-- keep keeps SQL that undoes what follows. What was there first counts.
CREATE OR REPLACE FUNCTION pg_temp.keep(command text, relation oid, what text, sql text) RETURNS void
LANGUAGE sql
AS $pgwitness$
    INSERT INTO pgwitness.undo (command, relation, what, sql) VALUES (command, relation, what, sql) ON CONFLICT DO NOTHING
$pgwitness$;

-- writers are the trigger functions that are mended.
CREATE OR REPLACE FUNCTION pg_temp.writers() RETURNS SETOF oid
LANGUAGE sql
AS $pgwitness$
    SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace,
        string_to_array(coalesce(nullif(current_setting('pgwitness.functions', true), ''), 'custom_audit_trigger_function'), ',') AS names
    WHERE prorettype = 'trigger'::regtype AND nspname <> 'pgwitness'
        AND (nspname || '.' || proname = ANY (names)
            OR proname = ANY (names) AND n.oid = (SELECT relnamespace FROM pg_class WHERE oid = 'public.custom_audit_log'::regclass))
$pgwitness$;

-- triggers are those on tables that call the given functions. The clones on partitions go with their parents.
CREATE OR REPLACE FUNCTION pg_temp.triggers(functions oid[]) RETURNS TABLE (relation regclass, name name, enabled "char")
LANGUAGE sql
AS $pgwitness$
    SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
    WHERE tgfoid = ANY (functions) AND NOT tgisinternal AND tgparentid = 0 ORDER BY tgrelid, tgname
$pgwitness$;

-- lock takes all locks, in the order in which writers take them: the audit table comes last.
CREATE OR REPLACE FUNCTION pg_temp.lock(functions oid[], mode text) RETURNS void
LANGUAGE plpgsql
AS $pgwitness$
DECLARE
    tables text := (SELECT string_agg(DISTINCT relation::text, ', ') FROM pg_temp.triggers(functions)
        WHERE relation <> 'public.custom_audit_log'::regclass);
BEGIN
    IF tables <> '' THEN
        EXECUTE format('LOCK TABLE %s IN %s MODE', tables, mode);
    END IF;
    LOCK TABLE public.custom_audit_log IN ACCESS EXCLUSIVE MODE;
END
$pgwitness$;

-- seal hands a table, with its partitions and the sequence of its id, to pgwitness_audit, leaves nobody else a right but to
-- read, and puts the guard on.
CREATE OR REPLACE FUNCTION pg_temp.seal(command text, sealed regclass) RETURNS void
LANGUAGE plpgsql
AS $pgwitness$
DECLARE
    part record;
    priv record;
BEGIN
    FOR part IN SELECT c.oid::regclass AS name, relkind = 'S' AS is_sequence, relowner AS owner, relforcerowsecurity AS forced
        FROM pg_class c
        WHERE c.oid = sealed OR c.oid IN (SELECT relid FROM pg_partition_tree(sealed))
            OR relkind = 'S' AND c.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass
                AND refclassid = 'pg_class'::regclass AND refobjid = sealed AND deptype IN ('a', 'i'))
        ORDER BY relkind = 'S'
    LOOP
        FOR priv IN SELECT format('%s%s ON %s%s', privilege_type, ' (' || quote_ident(attname) || ')',
                    CASE WHEN part.is_sequence THEN 'SEQUENCE ' END, part.name) AS name,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS grantee, is_grantable
            FROM (SELECT NULL AS attname, a.* FROM pg_class, aclexplode(relacl) AS a WHERE oid = part.name
                UNION ALL SELECT attname, a.* FROM pg_attribute, aclexplode(attacl) AS a WHERE attrelid = part.name) AS acl
            WHERE privilege_type <> 'SELECT' AND grantee NOT IN (part.owner, 'pgwitness_audit'::regrole)
        LOOP
            PERFORM pg_temp.keep(command, part.name, priv.name || ' TO ' || priv.grantee,
                format('GRANT %s TO %s%s', priv.name, priv.grantee, CASE WHEN priv.is_grantable THEN ' WITH GRANT OPTION' END));
            EXECUTE format('REVOKE %s FROM %s CASCADE', priv.name, priv.grantee);
        END LOOP;
        CONTINUE WHEN part.is_sequence; -- its owner is the table's
        IF part.owner <> 'pgwitness_audit'::regrole THEN
            PERFORM pg_temp.keep(command, part.name, 'owner of ' || part.name, format('ALTER TABLE %s OWNER TO %s', part.name, part.owner::regrole));
            EXECUTE format('ALTER TABLE %s OWNER TO pgwitness_audit', part.name);
            IF NOT (SELECT rolsuper FROM pg_roles WHERE oid = part.owner) THEN
                EXECUTE format('GRANT SELECT ON %s TO %s', part.name, part.owner::regrole);
            END IF;
        END IF;
        IF part.forced THEN -- policies would apply to the owner, which the trigger functions run as
            PERFORM pg_temp.keep(command, part.name, 'row level security of ' || part.name, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', part.name));
            EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', part.name);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = part.name AND tgfoid = 'pgwitness.refuse'::regproc) THEN
            PERFORM pg_temp.keep(command, part.name, 'guard of ' || part.name, format('DROP TRIGGER IF EXISTS pgwitness_refuse ON %s', part.name));
        END IF;
        PERFORM pgwitness.guard(part.name);
    END LOOP;
END
$pgwitness$;

-- mend gives the writers capture's body, and their triggers what attach would give: that they fire whatever
-- session_replication_role is, a trigger for TRUNCATE, and a row in the registry.
CREATE OR REPLACE FUNCTION pg_temp.mend(command text) RETURNS void
LANGUAGE plpgsql
AS $pgwitness$
DECLARE
    writer  regprocedure;
    trigger record;
    part    regclass;
    capture text := pg_get_functiondef('pgwitness.capture()'::regprocedure);
BEGIN
    FOR writer IN SELECT pg_temp.writers() LOOP
        IF EXISTS (SELECT FROM pg_trigger WHERE tgfoid = writer AND tgtype & 67 <> 1 AND tgtype & 32 = 0) THEN -- BEFORE, INSTEAD OF or without FOR EACH ROW
            RAISE EXCEPTION 'the trigger % is not AFTER … FOR EACH ROW: make it anew as such',
                (SELECT format('%I on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE tgfoid = writer AND tgtype & 67 <> 1 AND tgtype & 32 = 0 LIMIT 1);
        END IF;
        IF (SELECT prosrc FROM pg_proc WHERE oid = writer) <> (SELECT prosrc FROM pg_proc WHERE oid = 'pgwitness.capture()'::regprocedure) THEN
            PERFORM pg_temp.keep(command, NULL, 'function ' || writer, pg_get_functiondef(writer) || format('; ALTER FUNCTION %s OWNER TO %s', writer, proowner::regrole)
                || coalesce((SELECT string_agg(format('; GRANT EXECUTE ON FUNCTION %s TO %s', writer,
                    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END), '')
                    FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee <> proowner), ''))
            FROM pg_proc WHERE oid = writer;
        END IF;
        EXECUTE 'CREATE OR REPLACE FUNCTION ' || writer || substr(capture, strpos(capture, '()') + 2);
        EXECUTE format('ALTER FUNCTION %s OWNER TO pgwitness_audit', writer);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC%s CASCADE', writer, (SELECT string_agg(', ' || grantee::regrole, '')
            FROM pg_proc, aclexplode(proacl) WHERE oid = writer AND grantee NOT IN (0, proowner)));
    END LOOP;
    FOR trigger IN SELECT relation, name, enabled FROM pg_temp.triggers(ARRAY(SELECT pg_temp.writers()))
        WHERE relation <> 'public.custom_audit_log'::regclass
    LOOP
        IF trigger.enabled <> 'A' THEN
            PERFORM pg_temp.keep(command, trigger.relation, format('trigger %I on %s', trigger.name, trigger.relation), format('ALTER TABLE %s %s TRIGGER %I', trigger.relation,
                CASE trigger.enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END, trigger.name));
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', trigger.relation, trigger.name);
        END IF;
        FOR part IN SELECT trigger.relation UNION SELECT relid FROM pg_partition_tree(trigger.relation) LOOP
            EXECUTE format('CREATE OR REPLACE TRIGGER pgwitness_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION pgwitness.capture()', part);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER pgwitness_truncate', part);
        END LOOP;
        INSERT INTO pgwitness.attachment (relation, relation_name, mode, key, options, columns)
        VALUES (trigger.relation, trigger.relation::text, 'row', pgwitness.key_of(trigger.relation), '{}', ARRAY(
            SELECT attname FROM pg_attribute WHERE attrelid = trigger.relation AND attnum > 0 AND NOT attisdropped ORDER BY attnum))
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$pgwitness$;

-- put_aside makes room for a new audit table, and keeps event triggers from writing while there is none.
CREATE OR REPLACE FUNCTION pg_temp.put_aside() RETURNS void
LANGUAGE plpgsql
AS $pgwitness$
DECLARE
    trigger record;
    resume  text := '';
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'public.custom_audit_log'::regclass) <> 'r' THEN
        RAISE EXCEPTION 'public.custom_audit_log is not an ordinary table: nothing to install beside it';
    END IF;
    PERFORM pg_temp.lock(ARRAY(SELECT pg_temp.writers()), 'SHARE ROW EXCLUSIVE');
    FOR trigger IN SELECT evtname, evtenabled FROM pg_event_trigger WHERE evtfoid = ANY (pg_temp.captures()) AND evtenabled <> 'D' LOOP
        resume := resume || format('ALTER EVENT TRIGGER %I ENABLE %s;', trigger.evtname, CASE trigger.evtenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' END);
        EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', trigger.evtname);
    END LOOP;
    PERFORM set_config('pgwitness.resume', resume, true);
    ALTER TABLE public.custom_audit_log RENAME TO custom_audit_log_old;
END
$pgwitness$;

-- take_over lets the new audit table go on where the old one ended: its numbers, its readers, its publications, its writers.
-- The stream goes on, too, because the new table joins the publication in the very transaction that makes it, and not in a
-- subtransaction: no row can have passed unseen. What is done to the old table's rows is still published.
CREATE OR REPLACE FUNCTION pg_temp.take_over() RETURNS void
LANGUAGE plpgsql
AS $pgwitness$
DECLARE
    old         regclass := 'public.custom_audit_log_old';
    publication name;
    reader      text;
    sequence    text;
    last        bigint;
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = old AND attname = 'id' AND atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)) THEN
        sequence := pg_get_serial_sequence('public.custom_audit_log_old', 'id');
        IF sequence IS NULL THEN
            EXECUTE format('SELECT max(id) FROM %s', old) INTO last;
        ELSE
            EXECUTE format('SELECT last_value FROM %s', sequence) INTO last;
        END IF;
        PERFORM setval(pg_get_serial_sequence('public.custom_audit_log', 'id'), greatest(last, 1));
    END IF;
    FOR reader IN SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END FROM pg_class, aclexplode(relacl)
        WHERE oid = old AND privilege_type = 'SELECT' AND grantee <> 'pgwitness_audit'::regrole
        UNION SELECT relowner::regrole::text FROM pg_class WHERE oid = old
    LOOP
        EXECUTE format('GRANT SELECT ON public.custom_audit_log TO %s', reader);
    END LOOP;
    FOR publication IN SELECT pubname FROM pg_publication p JOIN pg_publication_rel ON prpubid = p.oid WHERE prrelid = old LOOP
        EXECUTE format('ALTER PUBLICATION %I ADD TABLE public.custom_audit_log', publication);
    END LOOP;
    FOR publication IN SELECT DISTINCT p.pubname FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
        JOIN pg_class c ON relname = tablename JOIN pg_namespace n ON n.oid = relnamespace AND nspname = schemaname
        WHERE NOT pubviaroot AND c.oid IN (SELECT relid FROM pg_partition_tree('public.custom_audit_log'))
    LOOP
        EXECUTE format('ALTER PUBLICATION %I SET (publish_via_partition_root = true)', publication);
    END LOOP;
    PERFORM pg_temp.seal('install', old);
    PERFORM pg_temp.mend('install');
    EXECUTE current_setting('pgwitness.resume');
END
$pgwitness$;

-- captures are the functions of the schema pgwitness that triggers call, except for the guard's.
CREATE OR REPLACE FUNCTION pg_temp.captures() RETURNS oid[]
LANGUAGE sql
AS $pgwitness$
    SELECT coalesce(array_agg(oid), '{}') FROM pg_proc WHERE pronamespace = 'pgwitness'::regnamespace AND proname <> 'refuse'
$pgwitness$;

-- undo takes off all that writes into the audit table, and then brings back what the given commands had found.
CREATE OR REPLACE FUNCTION pg_temp.undo(commands text[]) RETURNS void
LANGUAGE plpgsql
AS $pgwitness$
DECLARE
    trigger record;
    kept    record;
BEGIN
    FOR trigger IN SELECT evtname AS name FROM pg_event_trigger WHERE evtfoid = ANY (pg_temp.captures()) LOOP
        EXECUTE format('DROP EVENT TRIGGER %I', trigger.name);
    END LOOP;
    FOR trigger IN SELECT relation, name FROM pg_temp.triggers(pg_temp.captures()) LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', trigger.name, trigger.relation);
    END LOOP;
    DELETE FROM pgwitness.attachment;
    FOR kept IN SELECT sql FROM pgwitness.undo WHERE command = ANY (commands)
        AND (relation IS NULL OR EXISTS (SELECT FROM pg_class WHERE oid = relation)) ORDER BY step DESC
    LOOP
        EXECUTE kept.sql;
    END LOOP;
    DELETE FROM pgwitness.undo WHERE command = ANY (commands);
END
$pgwitness$;

-- Who waits for a lock of ours may hold one that we wait for. All are taken before the server looks for such deadlocks, or
-- none: it is never the application's transaction that has to die
DO $do$
BEGIN
    PERFORM set_config('statement_timeout', (setting::int * 9 / 10)::text, true) FROM pg_settings WHERE name = 'deadlock_timeout';
END
$do$;
