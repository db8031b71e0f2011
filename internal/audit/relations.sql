-- What `pgwitness audit attach`, `detach` and `coverage` look at, as one JSON document. $1: the audit table's name, as it
-- would be written in a function.
WITH RECURSIVE registry AS ( -- to_regclass would fail for who may not use the schema
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'pgwitness' AND relname = 'attachment'
), relation AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), part AS ( -- the types that a column's type is made of
    SELECT DISTINCT atttypid AS of_type, atttypid AS type
    FROM relation JOIN pg_attribute ON attrelid = oid WHERE attnum > 0 AND NOT attisdropped
    UNION
    SELECT of_type, CASE typtype WHEN 'd' THEN typbasetype ELSE typelem END
    FROM part JOIN pg_type t ON t.oid = type WHERE typtype = 'd' OR typcategory = 'A' AND typelem <> 0
), renderable AS ( -- those whose every value becomes jsonb. json may hold \u0000; a type of somebody's own, a cast that fails.
    SELECT of_type, bool_and(typtype = 'd' OR typcategory = 'A' AND typelem <> 0
        OR t.oid < 16384 AND typtype IN ('b', 'r', 'm') AND t.oid <> 'json'::regtype) AS always
    FROM part JOIN pg_type t ON t.oid = type GROUP BY of_type
), plain AS ( -- no setting but TimeZone changes their text in jsonb, which has dates and times in ISO 8601
    SELECT unnest('{bool,int2,int4,int8,numeric,text,varchar,bpchar,name,uuid,date,timestamp,timestamptz,jsonb,inet}'::regtype[]) AS type
), audit_trigger AS (
    SELECT t.*
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE p.pronamespace = to_regnamespace('pgwitness') OR p.proname = 'custom_audit_trigger_function'
        OR strpos(p.prosrc, $1::text) > 0 AND NOT tgisinternal
)
SELECT json_build_object(
    'schemas', (SELECT coalesce(json_agg(DISTINCT nspname), '[]') FROM pg_namespace),
    'registry', EXISTS (SELECT FROM registry),
    'may_read', (SELECT has_schema_privilege('pgwitness', 'USAGE') AND has_table_privilege(oid, 'SELECT') FROM registry),
    'user', current_user,
    'functions', (SELECT coalesce(json_agg(json_build_object(
            'oid', p.oid::bigint, 'schema', n.nspname, 'name', p.proname, 'source', p.prosrc, 'definer', p.prosecdef,
            'settings', coalesce(p.proconfig, '{}'), 'private', pg_get_userbyid(p.proowner) = 'pgwitness_audit' AND NOT EXISTS (
                SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee <> p.proowner))), '[]')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'pgwitness' OR p.oid IN (SELECT tgfoid FROM audit_trigger)),
    'relations', (SELECT coalesce(json_agg(json_build_object(
            'oid', r.oid::bigint, 'schema', r.nspname, 'name', r.relname, 'quoted', format('%I.%I', r.nspname, r.relname),
            'kind', r.relkind,
            'parent', (SELECT inhparent::bigint FROM pg_inherits WHERE inhrelid = r.oid AND r.relispartition),
            'inherits', NOT r.relispartition AND r.relkind <> 'p'
                AND EXISTS (SELECT FROM pg_inherits WHERE r.oid IN (inhrelid, inhparent)),
            'subscribed', EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = r.oid),
            'extension', EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = r.oid AND deptype = 'e'),
            'columns', (SELECT coalesce(json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod),
                    'renders', always, 'plain', atttypid IN (SELECT type FROM plain), 'virtual', attgenerated = 'v') ORDER BY attnum), '[]')
                FROM pg_attribute JOIN renderable ON of_type = atttypid WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped),
            'key', (SELECT coalesce(json_agg(attname ORDER BY attnum), '[]')
                FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
                WHERE indrelid = r.oid AND indisprimary),
            'triggers', (SELECT coalesce(json_agg(json_build_object(
                    'name', tgname, 'quoted', quote_ident(tgname), 'function', tgfoid::bigint, 'type', tgtype, 'args', encode(tgargs, 'hex'),
                    'enabled', tgenabled, 'clone', tgparentid <> 0, 'old_table', coalesce(tgoldtable, ''), 'new_table', coalesce(tgnewtable, ''),
                    'narrowed', tgqual IS NOT NULL OR tgattr::text <> '') ORDER BY tgname), '[]')
                FROM audit_trigger WHERE tgrelid = r.oid)) ORDER BY r.nspname, r.relname), '[]')
        FROM relation r))
