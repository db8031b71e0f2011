-- What writes DDL into public.custom_audit_log: event triggers, which only a superuser can make. Run it after capture.sql. An
-- error in them aborts the DDL, since what cannot be audited is refused; a superuser gets out by
-- ALTER EVENT TRIGGER pgwitness_ddl DISABLE, which no event trigger sees. unevents.sql takes them off.

-- capture_ddl writes an audit row for each object that a command made, changed, granted or dropped. Left out are temporary
-- objects, what an extension's own script does, and what goes with the object that it is a part of.
CREATE OR REPLACE FUNCTION pgwitness.capture_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC' SET standard_conforming_strings = 'on'
AS $pgwitness$
DECLARE
    query     text := current_query();
    statement jsonb;
    redacted  jsonb;
    problem   text;
    state     text;
BEGIN
    -- The query is all that the client sent at once: besides the command, a password perhaps, or rows with columns that are to
    -- be masked. It is kept if it has no such word and, the bodies of functions apart, nothing but DDL.
    IF octet_length(query) > 65536 THEN
        statement := jsonb_build_object('$omitted', jsonb_build_object('bytes', octet_length(query))); -- there is a row an object
    ELSIF tg_tag || ' ' || query !~* '(passw|secret|token|credential|crypt|api_?key|mask_key|\m(mapping|server|subscription|connection|options)\M)'
        AND regexp_replace(regexp_replace(query, '(?:\$(|[a-z_]\w*)\$.*?\$\1\$){1,1}?', '', 'gi'), '/\*.*?\*/|--[^\n]*', '', 'g')
            !~* '(^|;)[\s(]*(select|insert|update|delete|merge|copy|with|values|table|call|execute|prepare|declare|notify|do|set)\M'
    THEN
        statement := to_jsonb(query);
    END IF;
    IF statement IS NULL OR statement ? '$omitted' THEN
        redacted := '["statement"]';
    END IF;

    INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
        session_user_name, tx_id, client_addr, application_name, actor, request_id)
    SELECT object.tag, current_timestamp, CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END,
        object.table_name,
        jsonb_build_object('v', 2, 'event_type', object.tag, 'object', jsonb_build_object('type', object.type, 'identity', object.identity),
            'statement', statement, 'redacted', redacted) || object.more,
        object.schema_name, object.rel_oid, session_user, txid_current(), inet_client_addr(), current_setting('application_name'),
        nullif(current_setting('audit.actor', true), ''), nullif(current_setting('audit.request_id', true), '')
    FROM pgwitness.ddl_objects(tg_event, tg_tag) AS object;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    RAISE EXCEPTION 'pgwitness cannot audit this %: %', tg_tag, problem
        USING ERRCODE = state, HINT = 'What cannot be audited is refused. To go on without, a superuser disables the event triggers '
            'pgwitness_ddl and pgwitness_drop.';
END
$pgwitness$;

-- ddl_objects gives the objects of the command for which an event trigger is being called.
CREATE OR REPLACE FUNCTION pgwitness.ddl_objects(event text, command text, OUT tag text, OUT type text, OUT identity text,
    OUT schema_name text, OUT table_name text, OUT rel_oid oid, OUT more jsonb) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $pgwitness$
BEGIN
    IF event = 'sql_drop' THEN
        RETURN QUERY
            SELECT command, d.object_type, d.object_identity, coalesce(d.schema_name, of_table.name[1]), of_table.name[2],
                CASE d.classid WHEN 'pg_class'::regclass THEN d.objid ELSE to_regclass(quote_ident(of_table.name[1]) || '.' || quote_ident(of_table.name[2]))::oid END,
                '{"dropped": true}'::jsonb
            FROM pg_event_trigger_dropped_objects() AS d,
                LATERAL (SELECT CASE WHEN d.classid = ANY (ARRAY['pg_class', 'pg_trigger', 'pg_policy', 'pg_rewrite', 'pg_constraint',
                    'pg_attrdef']::regclass[]) AND d.object_type <> 'domain constraint' THEN d.address_names END AS name) AS of_table
            -- What was named, and what CASCADE took with it; not the parts, such as a table's columns, types and indexes.
            WHERE (d.original OR d.normal AND d.object_type NOT IN ('default value', 'rule') AND (command <> 'DROP EXTENSION'
                    OR d.object_type IN ('table', 'table column', 'view', 'materialized view', 'trigger')))
                AND NOT d.is_temporary AND of_table.name[1] IS DISTINCT FROM 'pg_temp';
        RETURN;
    END IF;
    RETURN QUERY
        SELECT d.command_tag, lower(d.object_type), d.object_identity, coalesce(d.schema_name, of_table.schema_name), of_table.relname::text,
            of_table.oid, coalesce(of_table.more, '{}')
        FROM pg_event_trigger_ddl_commands() AS d
        LEFT JOIN LATERAL (
            SELECT c.oid, c.relname, c.relpersistence, c.relnamespace::regnamespace::text AS schema_name,
                -- Told by the catalog, since the statement may be hidden in a function.
                (SELECT jsonb_build_object('disabled_triggers', jsonb_agg(tgname ORDER BY tgname)) FROM pg_trigger
                    WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled IN ('D', 'R') HAVING count(*) > 0) AS more
            FROM pg_class AS c
            WHERE c.oid = CASE d.classid
                WHEN 'pg_class'::regclass THEN coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = d.objid), d.objid)
                WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger AS t WHERE t.oid = d.objid)
                WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy AS p WHERE p.oid = d.objid)
                WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite AS r WHERE r.oid = d.objid)
                WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint AS k WHERE k.oid = d.objid)
                WHEN 'pg_publication_rel'::regclass THEN (SELECT prrelid FROM pg_publication_rel AS p WHERE p.oid = d.objid)
                END) AS of_table ON true
        WHERE NOT d.in_extension AND d.schema_name IS DISTINCT FROM 'pg_temp' AND of_table.relpersistence IS DISTINCT FROM 't';
    IF command = 'DROP OWNED' THEN -- which also revokes, and that is not reported
        RETURN QUERY SELECT command, NULL::text, NULL::text, NULL::text, NULL::text, NULL::oid, '{}'::jsonb;
    END IF;
END
$pgwitness$;

ALTER FUNCTION pgwitness.capture_ddl() OWNER TO pgwitness_audit;
ALTER FUNCTION pgwitness.ddl_objects(text, text) OWNER TO pgwitness_audit;
REVOKE ALL ON FUNCTION pgwitness.capture_ddl(), pgwitness.ddl_objects(text, text) FROM PUBLIC;

-- There is no CREATE OR REPLACE of an event trigger. ALWAYS: also where session_replication_role is replica.
SET client_min_messages = warning;
DROP EVENT TRIGGER IF EXISTS pgwitness_drop;
CREATE EVENT TRIGGER pgwitness_drop ON sql_drop EXECUTE FUNCTION pgwitness.capture_ddl();
ALTER EVENT TRIGGER pgwitness_drop ENABLE ALWAYS;
DROP EVENT TRIGGER IF EXISTS pgwitness_ddl;
CREATE EVENT TRIGGER pgwitness_ddl ON ddl_command_end EXECUTE FUNCTION pgwitness.capture_ddl();
ALTER EVENT TRIGGER pgwitness_ddl ENABLE ALWAYS;
RESET client_min_messages;
