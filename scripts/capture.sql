-- What writes a row into public.custom_audit_log for each change of an audited table: an owner that nobody can log in as,
-- the trigger functions, and the guard that keeps the audit table append-only. Triggers that call them are made by
-- `pgwitness audit attach`, or by hand as its output shows. Run it as a superuser, with install.sql or harden.sql after it:
--
--   psql --single-transaction -f scripts/capture.sql -f scripts/install.sql
--
-- It may be run again at any time, and changes nothing then but what somebody altered.

DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgwitness_audit') THEN
        CREATE ROLE pgwitness_audit NOLOGIN;
    END IF;
    -- Who is not a superuser must be a member to hand objects over. Being one is a power: docs/SECURITY.md.
    IF NOT pg_catalog.pg_has_role(current_user, 'pgwitness_audit', 'MEMBER') THEN
        GRANT pgwitness_audit TO CURRENT_USER;
    END IF;
END
$do$;

CREATE SCHEMA IF NOT EXISTS pgwitness AUTHORIZATION pgwitness_audit;
REVOKE ALL ON SCHEMA pgwitness FROM PUBLIC;

-- Every table that was attached. Triggers can be dropped; that one was there is remembered here.
CREATE TABLE IF NOT EXISTS pgwitness.attachment (
    relation      regclass PRIMARY KEY, -- follows a rename, and is dumped as a name
    relation_name text NOT NULL,        -- as it was when it was attached, for when the table is gone
    mode          text NOT NULL CHECK (mode IN ('row', 'statement')),
    key           text[] NOT NULL,
    options       jsonb NOT NULL,
    columns       text[] NOT NULL,      -- all that the table had
    attached_at   timestamptz NOT NULL DEFAULT current_timestamp,
    attached_by   text NOT NULL DEFAULT session_user
);
ALTER TABLE pgwitness.attachment OWNER TO pgwitness_audit;

-- What harden, install and attach found, as SQL that brings it back. Whoever runs the undo runs that SQL, so the table is not handed to
-- pgwitness_audit: it belongs to who made it.
CREATE TABLE IF NOT EXISTS pgwitness.undo (
    step     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command  text NOT NULL CHECK (command IN ('harden', 'install', 'attach')),
    relation oid,                 -- without which it is not to be run
    what     text NOT NULL UNIQUE,
    sql      text NOT NULL
);
REVOKE ALL ON pgwitness.undo FROM PUBLIC;

-- The key of masked values, split as HMAC (RFC 2104) uses it. Whoever can read it can find out masked values by guessing.
CREATE TABLE IF NOT EXISTS pgwitness.mask_key (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    inner_pad bytea NOT NULL CHECK (octet_length(inner_pad) = 64),
    outer_pad bytea NOT NULL CHECK (octet_length(outer_pad) = 64)
);
ALTER TABLE pgwitness.mask_key OWNER TO pgwitness_audit;
REVOKE ALL ON pgwitness.mask_key, pgwitness.attachment FROM PUBLIC;

-- set_mask_key makes key the key of all values that are masked from now on.
CREATE OR REPLACE FUNCTION pgwitness.set_mask_key(key bytea) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $pgwitness$
DECLARE
    padded    bytea := CASE WHEN octet_length(key) > 64 THEN sha256(key) ELSE key END;
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR i IN 0 .. octet_length(padded) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(padded, i) # get_byte(inner_pad, i));
        outer_pad := set_byte(outer_pad, i, get_byte(padded, i) # get_byte(outer_pad, i));
    END LOOP;
    INSERT INTO pgwitness.mask_key AS k (inner_pad, outer_pad) VALUES (inner_pad, outer_pad)
    ON CONFLICT (only_one) DO UPDATE SET inner_pad = excluded.inner_pad, outer_pad = excluded.outer_pad;
END
$pgwitness$;

-- Two version 4 UUIDs carry 244 random bits. The server's log never shows them.
DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pgwitness.mask_key) THEN
        PERFORM pgwitness.set_mask_key(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) OPERATOR(pg_catalog.||)
            pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));
    END IF;
END
$do$;

-- The functions from here to capture are called by the trigger functions alone, which have pinned search_path: a second
-- SET would cost each row more than most of them do.

-- mask stands for a value that must not be seen and can be recognised: equal values have equal masks.
CREATE OR REPLACE FUNCTION pgwitness.mask(value jsonb) RETURNS jsonb
LANGUAGE sql STABLE
AS $pgwitness$
    SELECT CASE WHEN value #>> '{}' IS NULL THEN 'null' ELSE jsonb_build_object('$masked', (
        SELECT 'hmac-sha256:' || encode(sha256(outer_pad || sha256(inner_pad || convert_to(value #>> '{}', 'UTF8'))), 'hex')
        FROM pgwitness.mask_key)) END
$pgwitness$;

-- image_sql is the SQL query for the image of the row that alias names, a row made column by column: some value may be too
-- large to be rendered at all. Where capped is false, none is. A virtual column has no value in a trigger, and is left out.
-- The columns come in the order in which jsonb keeps keys, the shorter first, which spares it a sixth of its work.
CREATE OR REPLACE FUNCTION pgwitness.image_sql(relid oid, alias text, options jsonb, capped boolean) RETURNS text
LANGUAGE sql STABLE
AS $pgwitness$
    SELECT 'SELECT ' || coalesce(string_agg(format(CASE
            WHEN options -> 'mask' ? attname THEN 'pgwitness.mask(to_jsonb(%1$s.%2$I))'
            WHEN typlen > 0 OR NOT capped THEN '%1$s.%2$I'
            WHEN atttypid = 'bytea'::regtype THEN
                'CASE WHEN octet_length(%1$s.%2$I) > %3$s THEN jsonb_build_object(''$omitted'', jsonb_build_object(''bytes'', octet_length(%1$s.%2$I))) ELSE to_jsonb(%1$s.%2$I) END'
            -- Stored, a value may be compressed to a 255th.
            ELSE 'CASE WHEN pg_column_size(%1$s.%2$I) > %3$s / 256 AND octet_length(%1$s.%2$I::text) > %3$s THEN jsonb_build_object(''$omitted'', jsonb_build_object(''bytes'', octet_length(%1$s.%2$I::text))) ELSE to_jsonb(%1$s.%2$I) END'
            END || ' AS %2$I', alias, attname, coalesce((options ->> 'max_value')::bigint, 1048576)), ', ' ORDER BY length(attname), attname), '')
    FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
    WHERE attrelid = relid AND attnum > 0 AND NOT attisdropped AND attgenerated <> 'v'
        AND NOT coalesce(options -> 'exclude' ? attname, false)
$pgwitness$;

-- changed_sql is the SQL expression for the names of the columns in which two rows differ, as a sorted jsonb array. Unlike =,
-- *<> works for every type, and tells 1.0 from 1.00. Where a type has values that differ and look the same (white space in
-- json, 0 and -0), what differs in the images counts; and only if nothing does, what is stored.
CREATE OR REPLACE FUNCTION pgwitness.changed_sql(relid oid, old_alias text, new_alias text, options jsonb) RETURNS text
LANGUAGE sql STABLE
AS $pgwitness$
    SELECT CASE WHEN bool_and(seen = '') THEN format(names, string_agg(format(stored, ''), ', ' ORDER BY attname))
        ELSE format('coalesce(nullif(%s, ''[]''), %s)', format(names, string_agg(format(stored, seen), ', ' ORDER BY attname)),
            format(names, string_agg(format(stored, ''), ', ' ORDER BY attname))) END
    FROM (SELECT 'to_jsonb(array_remove(ARRAY[%s]::text[], NULL))' AS names) AS n LEFT JOIN (
        SELECT attname,
            replace(format('CASE WHEN ROW(%1$s.%3$I)::record *<> ROW(%2$s.%3$I)::record', old_alias, new_alias, attname), '%', '%%')
                || '%s' || replace(format(' THEN %L END', attname), '%', '%%') AS stored,
            CASE
                WHEN options -> 'mask' ? attname THEN
                    format(' AND to_jsonb(%1$s.%3$I) #>> ''{}'' IS DISTINCT FROM to_jsonb(%2$s.%3$I) #>> ''{}''', old_alias, new_alias, attname)
                WHEN atttypid = ANY ('{bool,int2,int4,int8,numeric,text,varchar,bpchar,bytea,uuid,date,time,timestamp,timestamptz,interval,inet,oid}'::regtype[]) THEN ''
                ELSE format(' AND (pg_column_size(%1$s.%3$I) > 4096 OR pg_column_size(%2$s.%3$I) > 4096'
                    ' OR to_jsonb(%1$s.%3$I)::text IS DISTINCT FROM to_jsonb(%2$s.%3$I)::text)', old_alias, new_alias, attname)
            END AS seen
        FROM pg_attribute
        WHERE attrelid = relid AND attnum > 0 AND NOT attisdropped AND attgenerated <> 'v'
            AND NOT coalesce(options -> 'exclude' ? attname, false)) AS c ON true
    GROUP BY names
$pgwitness$;

-- redaction gives the options with more to exclude when a column that must not be seen is gone. It was dropped or renamed,
-- which nobody can tell: so all columns that the table got since it was attached are left out, until it is attached again.
CREATE OR REPLACE FUNCTION pgwitness.redaction(relid oid, options jsonb) RETURNS jsonb
LANGUAGE sql STABLE
AS $pgwitness$
    WITH present AS (
        SELECT coalesce(jsonb_agg(attname), '[]') AS names FROM pg_attribute
        WHERE attrelid = relid AND attnum > 0 AND NOT attisdropped
    ), known AS (
        SELECT coalesce((SELECT to_jsonb(columns) FROM pgwitness.attachment
            WHERE relation = relid OR relation IN (SELECT pg_partition_ancestors(relid)) LIMIT 1), '[]') AS names
    )
    SELECT CASE WHEN present.names @> (coalesce(options -> 'exclude', '[]') || coalesce(options -> 'mask', '[]')) THEN options
        ELSE options || jsonb_build_object('exclude', coalesce(options -> 'exclude', '[]')
            || (present.names - ARRAY(SELECT jsonb_array_elements_text(known.names)))) END
    FROM present, known
$pgwitness$;

-- redact takes the excluded columns out of an image, those that have no value in a trigger too, and masks the masked ones.
CREATE OR REPLACE FUNCTION pgwitness.redact(image jsonb, options jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $pgwitness$
DECLARE
    name text;
BEGIN
    image := image - ARRAY(SELECT jsonb_array_elements_text(coalesce(options -> 'exclude', '[]') || coalesce(options -> 'virtual', '[]')));
    FOR name IN SELECT jsonb_array_elements_text(options -> 'mask') LOOP
        IF image ? name THEN
            image := jsonb_set(image, ARRAY[name], pgwitness.mask(image -> name));
        END IF;
    END LOOP;
    RETURN image;
END
$pgwitness$;

-- key_of gives the names of relid's primary key columns, none for a table without.
CREATE OR REPLACE FUNCTION pgwitness.key_of(relid oid) RETURNS text[]
LANGUAGE sql STABLE
AS $pgwitness$
    SELECT coalesce(array_agg(attname::text ORDER BY attnum), '{}')
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
    WHERE indrelid = relid AND indisprimary
$pgwitness$;

-- What row_data holds. Made of such a row, jsonb costs less than by jsonb_build_object, the less as its keys come in their order.
DO $do$
BEGIN
    IF to_regtype('pgwitness.row_data') IS NULL THEN
        CREATE TYPE pgwitness.row_data AS (
            v int, id jsonb, key jsonb, new jsonb, old jsonb, changed jsonb, redacted jsonb, event_type text, column_name jsonb);
    END IF;
END
$do$;
ALTER TYPE pgwitness.row_data OWNER TO pgwitness_audit;

-- audit_row is the row to write. Called in FROM, it becomes part of the INSERT, and costs nothing of its own. Statement mode asks
-- who did it once for all rows.
CREATE OR REPLACE FUNCTION pgwitness.audit_row(op text, relation_name name, relation_schema name, relation_oid oid, data jsonb)
RETURNS TABLE (event_type text, event_timestamp timestamptz, user_name text, table_name text, row_data jsonb, schema_name text, rel_oid oid,
    session_user_name text, tx_id bigint, client_addr inet, application_name text, actor text, request_id text)
LANGUAGE sql STABLE
AS $pgwitness$
    SELECT op, current_timestamp, coalesce(nullif(current_setting('role'), 'none'), session_user), relation_name, data, relation_schema, relation_oid,
        session_user, txid_current(), inet_client_addr(), current_setting('application_name'),
        nullif(current_setting('audit.actor', true), ''), nullif(current_setting('audit.request_id', true), '')
$pgwitness$;

-- row_data is the value of that column. old and new are images, null where there is none; changed is an UPDATE's. The keys id
-- and column_name are there where the table has such columns, as in the rows that were written before.
CREATE OR REPLACE FUNCTION pgwitness.row_data(op text, key text[], old jsonb, new jsonb, changed jsonb, options jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $pgwitness$
DECLARE
    image    jsonb := coalesce(new, old);
    kept     jsonb;
    redacted jsonb;
    data     jsonb;
BEGIN
    IF cardinality(key) = 1 AND image ? key[1] THEN
        kept := jsonb_build_object(key[1], image -> key[1]);
    ELSIF cardinality(key) > 0 THEN
        kept := (SELECT jsonb_object_agg(name, image -> name) FROM unnest(key) AS name WHERE image ? name);
    END IF;
    IF op = 'UPDATE' AND options ->> 'images' = 'changed' THEN
        old := (SELECT coalesce(jsonb_object_agg(name, old -> name), '{}') FROM jsonb_array_elements_text(changed) AS name);
        new := (SELECT coalesce(jsonb_object_agg(name, new -> name), '{}') FROM jsonb_array_elements_text(changed) AS name);
    END IF;
    IF options IS NOT NULL THEN
        redacted := (SELECT jsonb_agg(name ORDER BY name COLLATE "C") FROM (
            SELECT jsonb_array_elements_text(options -> 'exclude') AS name
            UNION SELECT jsonb_array_elements_text(options -> 'mask')
            UNION SELECT e.key FROM jsonb_each(old) AS e WHERE e.value ? '$omitted'
            UNION SELECT e.key FROM jsonb_each(new) AS e WHERE e.value ? '$omitted') AS n);
    END IF;
    data := to_jsonb(ROW(2, image -> 'id', kept, new, old, changed, redacted, op, image -> 'column_name')::pgwitness.row_data);
    IF NOT image ?& '{id,column_name}' THEN
        data := data - CASE WHEN image ? 'id' THEN ARRAY['column_name'] WHEN image ? 'column_name' THEN ARRAY['id'] ELSE ARRAY['id', 'column_name'] END;
    END IF;
    RETURN data;
END
$pgwitness$;

-- capture writes the audit row of a change, for each row, and of a TRUNCATE. Its arguments, which attach gives, are the names
-- of the primary key's columns as an array literal, and the options as a JSON object. A table without options, with one key
-- column and with none but types that can always be rendered, has that column's name alone; if that is id, then id, no
-- options, and the names of those of the columns id and column_name that it has. Without any, the key is looked up.
--
-- It runs as its owner, so that nobody else needs a right on the audit table, and with settings of its own, so that a
-- value has one text whatever the session's are. The one thing that it takes from the session is who is acting.
CREATE OR REPLACE FUNCTION pgwitness.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO' SET "IntervalStyle" = 'postgres' SET lc_monetary = 'C'
SET bytea_output = 'hex' SET extra_float_digits = '1' SET quote_all_identifiers = 'off'
AS $pgwitness$
DECLARE
    key       text[];
    options   jsonb;
    by_column boolean;
    old_image jsonb;
    new_image jsonb;
    changed   jsonb;
    data      jsonb;
    problem   text;
    state     text;
BEGIN
    -- The commonest cases take as few expressions and functions as can be: in a short transaction, each costs as much to prepare
    -- as to evaluate. So the INSERT that stands at the end stands here, too, with row_data made in it. What they pass over goes the
    -- long way.
    <<short>>
    BEGIN
        IF TG_OP = 'INSERT' AND pg_column_size(NEW) <= 4096 THEN
            IF TG_NARGS = 4 THEN
                -- A session that wrote before a column got another type or name cannot read it any more. To try it first in a
                -- subtransaction, which writes nothing, is cheap. Only attach gives such arguments, and to no audit table.
                BEGIN
                    EXIT short WHEN NEW.id IS NULL OR NEW.column_name IS NULL;
                EXCEPTION WHEN OTHERS THEN
                    EXIT short;
                END;
                INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
                    session_user_name, tx_id, client_addr, application_name, actor, request_id)
                SELECT w.* FROM (SELECT 2 AS v, NEW.id, k AS key, NEW AS new, NULL AS old, NULL AS changed, NULL AS redacted, 'INSERT' AS event_type, NEW.column_name
                    FROM (SELECT NEW.id) AS k) AS r,
                    pgwitness.audit_row('INSERT', TG_TABLE_NAME, TG_TABLE_SCHEMA, TG_RELID, to_jsonb(r)) AS w;
                RETURN NULL;
            ELSIF TG_NARGS = 3 THEN
                BEGIN
                    EXIT short WHEN NEW.id IS NULL;
                EXCEPTION WHEN OTHERS THEN
                    EXIT short;
                END;
                INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
                    session_user_name, tx_id, client_addr, application_name, actor, request_id)
                SELECT w.* FROM (SELECT 2 AS v, NEW.id, k AS key, NEW AS new, NULL AS old, NULL AS changed, NULL AS redacted, 'INSERT' AS event_type
                    FROM (SELECT NEW.id) AS k) AS r,
                    pgwitness.audit_row('INSERT', TG_TABLE_NAME, TG_TABLE_SCHEMA, TG_RELID, to_jsonb(r)) AS w;
                RETURN NULL;
            ELSIF TG_NARGS = 1 THEN
                new_image := to_jsonb(NEW);
                EXIT short WHEN NOT new_image ? TG_ARGV[0] OR new_image ?| '{id,column_name}';
                INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
                    session_user_name, tx_id, client_addr, application_name, actor, request_id)
                SELECT w.* FROM (SELECT 2 AS v, jsonb_build_object(TG_ARGV[0], new_image -> TG_ARGV[0]) AS key, new_image AS new, NULL AS old,
                        NULL AS changed, NULL AS redacted, 'INSERT' AS event_type) AS r,
                    pgwitness.audit_row('INSERT', TG_TABLE_NAME, TG_TABLE_SCHEMA, TG_RELID, to_jsonb(r)) AS w;
                RETURN NULL;
            END IF;
        END IF;
    END;
    IF TG_TABLE_SCHEMA = 'pgwitness' OR TG_RELID = 'public.custom_audit_log'::regclass THEN
        RETURN NULL; -- an audited audit table would never come to an end
    END IF;
    IF TG_OP = 'UPDATE' AND NOT OLD *<> NEW THEN
        RETURN NULL; -- nothing was changed
    END IF;
    by_column := false;
    LOOP
        BEGIN
            IF TG_OP <> 'TRUNCATE' THEN
                key := CASE TG_NARGS WHEN 0 THEN pgwitness.key_of(TG_RELID) WHEN 2 THEN TG_ARGV[0]::text[] ELSE ARRAY[TG_ARGV[0]] END;
                options := CASE WHEN TG_NARGS > 1 THEN nullif(TG_ARGV[1]::jsonb, '{}') END;
                -- What is small when stored is small enough to be rendered.
                IF by_column OR pg_column_size(NEW) > 4096 OR pg_column_size(OLD) > 4096 OR options ? 'max_value' THEN
                    by_column := true;
                    options := pgwitness.redaction(TG_RELID, coalesce(options, '{}')); -- not null: row_data looks for what was omitted
                    IF TG_OP <> 'INSERT' THEN
                        EXECUTE format('SELECT to_jsonb(xmin) FROM (%s) AS xmin', pgwitness.image_sql(TG_RELID, '($1)', options, true)) INTO old_image USING OLD;
                    END IF;
                    IF TG_OP <> 'DELETE' THEN
                        EXECUTE format('SELECT to_jsonb(xmin) FROM (%s) AS xmin', pgwitness.image_sql(TG_RELID, '($1)', options, true)) INTO new_image USING NEW;
                    END IF;
                ELSE
                    IF TG_OP <> 'INSERT' THEN
                        old_image := to_jsonb(OLD);
                    END IF;
                    IF TG_OP <> 'DELETE' THEN
                        new_image := to_jsonb(NEW);
                    END IF;
                    IF options IS NOT NULL THEN
                        IF NOT coalesce(new_image, old_image)
                            ?& ARRAY(SELECT jsonb_array_elements_text(coalesce(options -> 'exclude', '[]') || coalesce(options -> 'mask', '[]'))) THEN
                            options := pgwitness.redaction(TG_RELID, options);
                        END IF;
                        old_image := pgwitness.redact(old_image, options);
                        new_image := pgwitness.redact(new_image, options);
                    END IF;
                    IF TG_OP = 'UPDATE' THEN
                        changed := (SELECT jsonb_agg(name ORDER BY name COLLATE "C") FROM jsonb_object_keys(new_image) AS name
                            WHERE (new_image -> name)::text IS DISTINCT FROM (old_image -> name)::text);
                    END IF;
                END IF;
                IF TG_OP = 'UPDATE' AND changed IS NULL THEN
                    EXECUTE 'SELECT ' || pgwitness.changed_sql(TG_RELID, '($1)', '($2)', options) INTO changed USING OLD, NEW;
                END IF;
                IF NOT coalesce(new_image, old_image) ?& key THEN
                    key := pgwitness.key_of(TG_RELID); -- a column was renamed
                END IF;
            END IF;
            data := pgwitness.row_data(TG_OP, key, old_image, new_image, changed, options);
            EXIT;
        EXCEPTION WHEN OTHERS THEN
            IF NOT by_column AND options ? 'exclude' THEN
                by_column := true; -- the column that cannot be rendered may be one that is to be left out
                CONTINUE;
            END IF;
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
            IF options ->> 'fail' IS DISTINCT FROM 'open' THEN
                RAISE EXCEPTION 'pgwitness cannot audit this % of %.%: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, problem
                    USING ERRCODE = state, HINT = 'What cannot be audited is refused. Exclude the column, or attach the table with --fail open.';
            END IF;
            data := jsonb_build_object('v', 2, 'event_type', TG_OP, 'error', jsonb_build_object('sqlstate', state, 'message', problem));
            EXIT;
        END;
    END LOOP;
    INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
        session_user_name, tx_id, client_addr, application_name, actor, request_id)
    SELECT * FROM pgwitness.audit_row(TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, TG_RELID, data);
    RETURN NULL;
END
$pgwitness$;

-- capture_plain is capture for tables of types whose text no other setting changes than TimeZone: each SET costs a short
-- transaction a few µs, and most tables have no other types. attach chooses it, and coverage says when it does not do any more.
DO $do$
BEGIN
    EXECUTE (SELECT pg_catalog.format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp SET "TimeZone" = ''UTC'' AS %L', 'pgwitness.capture_plain()', prosrc)
        FROM pg_catalog.pg_proc WHERE oid = 'pgwitness.capture()'::pg_catalog.regprocedure);
END
$do$;

-- capture_statement writes the audit rows of a whole statement at once, from its transition tables old_rows and new_rows.
-- It takes the arguments that capture takes, the key as an array literal. Both tables of an UPDATE have its rows in the same
-- order. The one name that no column can have is a system column's: the images are called xmin and xmax.
CREATE OR REPLACE FUNCTION pgwitness.capture_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO' SET "IntervalStyle" = 'postgres' SET lc_monetary = 'C'
SET bytea_output = 'hex' SET extra_float_digits = '1' SET quote_all_identifiers = 'off'
AS $pgwitness$
DECLARE
    key       text[];
    options   jsonb;
    columns   text[] := ARRAY(SELECT attname::text FROM pg_attribute
        WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attgenerated <> 'v' ORDER BY attnum);
    alias     text := CASE TG_OP WHEN 'DELETE' THEN 'old_row' ELSE 'new_row' END;
    source    text := CASE TG_OP WHEN 'DELETE' THEN 'old_rows AS old_row' ELSE 'new_rows AS new_row' END;
    images    text := '';
    filter    text := '';
    old_image text := 'NULL::jsonb';
    new_image text := 'NULL::jsonb';
    changed   text := 'NULL::jsonb';
    large     boolean := false;
    data      text;
    problem   text;
    state     text;
BEGIN
    IF TG_TABLE_SCHEMA = 'pgwitness' OR TG_RELID = 'public.custom_audit_log'::regclass THEN
        RETURN NULL;
    END IF;
    BEGIN
        options := CASE WHEN TG_NARGS > 1 THEN nullif(TG_ARGV[1]::jsonb, '{}') END;
        key := CASE TG_NARGS WHEN 0 THEN pgwitness.key_of(TG_RELID) ELSE TG_ARGV[0]::text[] END;
        IF NOT key <@ columns THEN
            key := pgwitness.key_of(TG_RELID); -- a column was renamed
        END IF;
        IF options ?| '{exclude,mask}' THEN
            options := pgwitness.redaction(TG_RELID, options);
        END IF;
        IF TG_OP <> 'INSERT' THEN
            large := EXISTS (SELECT FROM old_rows AS r WHERE pg_column_size(r.*) > 4096);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            large := large OR EXISTS (SELECT FROM new_rows AS r WHERE pg_column_size(r.*) > 4096);
        END IF;
        large := large OR coalesce(options ? 'max_value', false);
        IF TG_OP <> 'INSERT' THEN
            images := format(', LATERAL (%s) AS xmin', pgwitness.image_sql(TG_RELID, 'old_row', options, large));
            old_image := 'xmin';
        END IF;
        IF TG_OP <> 'DELETE' THEN
            images := images || format(', LATERAL (%s) AS xmax', pgwitness.image_sql(TG_RELID, 'new_row', options, large));
            new_image := 'xmax';
        END IF;
        IF TG_OP = 'UPDATE' THEN
            changed := pgwitness.changed_sql(TG_RELID, 'old_row', 'new_row', options);
            source := '(SELECT row_number() OVER () AS ctid, * FROM old_rows) AS old_row
                JOIN (SELECT row_number() OVER () AS ctid, * FROM new_rows) AS new_row ON old_row.ctid = new_row.ctid';
            filter := (SELECT format('WHERE ROW(%s)::record *<> ROW(%s)::record ORDER BY old_row.ctid',
                string_agg('old_row.' || quote_ident(name), ', '), string_agg('new_row.' || quote_ident(name), ', '))
                FROM unnest(columns) AS name);
        END IF;
        IF options IS NULL AND NOT large THEN
            -- As row_data has it. A row made of rows becomes jsonb in one go, in half the time of jsonb_build_object. Its parts are in
            -- FROM, where the planner can make them one expression, and in the order of image_sql.
            images := images || format(', LATERAL (SELECT %s) AS cmax, LATERAL (SELECT 2 AS v, %s%s AS key, %s AS new, %s AS old,
                    %s AS changed, NULL AS redacted, $1 AS event_type%s) AS cmin',
                (SELECT string_agg(format('%s.%I', alias, name), ', ') FROM unnest(key) AS name),
                CASE WHEN 'id' = ANY (columns) THEN alias || '.id, ' END, CASE WHEN cardinality(key) > 0 THEN 'cmax' ELSE 'NULL' END, new_image, old_image, changed,
                CASE WHEN 'column_name' = ANY (columns) THEN format(', %s.column_name', alias) END);
            data := 'to_jsonb(cmin)';
        ELSE
            data := format('pgwitness.row_data($1, $4, to_jsonb(%s), to_jsonb(%s), %s, $5)', old_image, new_image, changed);
        END IF;
        EXECUTE format('INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data,
                schema_name, rel_oid, session_user_name, tx_id, client_addr, application_name, actor, request_id)
            SELECT $1, current_timestamp, $2, $3, %s, $6, $7, $11, $12, $13, $8, $9, $10
            FROM %s%s %s', data, source, images, filter)
        USING TG_OP, coalesce(nullif(current_setting('role'), 'none'), session_user), TG_TABLE_NAME, key,
            coalesce(options, '{}'), TG_TABLE_SCHEMA, TG_RELID, current_setting('application_name'),
            nullif(current_setting('audit.actor', true), ''), nullif(current_setting('audit.request_id', true), ''),
            session_user::text, txid_current(), inet_client_addr();
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
        IF options ->> 'fail' IS DISTINCT FROM 'open' THEN
            RAISE EXCEPTION 'pgwitness cannot audit this % of %.%: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, problem
                USING ERRCODE = state, HINT = 'What cannot be audited is refused. Exclude the column, or attach the table with --fail open.';
        END IF;
        INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
            session_user_name, tx_id, client_addr, application_name, actor, request_id)
        SELECT * FROM pgwitness.audit_row(TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, TG_RELID,
            jsonb_build_object('v', 2, 'event_type', TG_OP, 'error', jsonb_build_object('sqlstate', state, 'message', problem)));
    END;
    RETURN NULL;
END
$pgwitness$;

-- refuse keeps the audit table append-only, for owners and superusers too. What expires is let through where somebody who
-- may act for the table's owner says so: `pgwitness audit retention` does, and writes down what it deletes.
CREATE OR REPLACE FUNCTION pgwitness.refuse() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $pgwitness$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('pgwitness.retention', true) = 'on'
        AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% of %.% is refused: the audit table is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = 'What is old enough is removed by pgwitness audit retention.';
END
$pgwitness$;

-- add_partitions makes the audit table's partitions for this month (UTC) and so many months ahead, and gives the names of
-- those that were missing. It blocks no writer: attaching takes a lock that writers do not heed. Safe to be called by a timer.
CREATE OR REPLACE FUNCTION pgwitness.add_partitions(ahead int DEFAULT 3) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
AS $pgwitness$
DECLARE
    month     timestamptz := date_trunc('month', current_timestamp);
    partition text;
BEGIN
    FOR i IN 0 .. ahead LOOP
        partition := 'custom_audit_log_' || to_char(month, 'YYYY_MM');
        IF to_regclass(format('pgwitness.%I', partition)) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE pgwitness.%I (LIKE public.custom_audit_log INCLUDING ALL EXCLUDING IDENTITY)', partition);
                EXECUTE format('ALTER TABLE public.custom_audit_log ATTACH PARTITION pgwitness.%I FOR VALUES FROM (%L) TO (%L)',
                    partition, month, month + interval '1 month');
                PERFORM pgwitness.guard(format('pgwitness.%I', partition)::regclass);
                RETURN NEXT partition;
            EXCEPTION WHEN invalid_object_definition THEN
                NULL; -- a partition of another name has this month, such as one that was the default one
            END;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END
$pgwitness$;

-- guard puts refuse on a table, whatever session_replication_role is.
CREATE OR REPLACE FUNCTION pgwitness.guard(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $pgwitness$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER pgwitness_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION pgwitness.refuse()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER pgwitness_refuse', relation);
END
$pgwitness$;

-- Nobody but the owner may call any of them: a trigger of somebody's own that calls capture would write what never happened.
DO $do$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = 'pgwitness'::regnamespace LOOP
        EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO pgwitness_audit', function);
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
END
$do$;
