-- What there is of the audit table $1, "schema"."table", and of those who write into it. $2 is a JSON array of the trigger
-- functions that are to be mended, $3 the name of what install puts aside, as $1 is.
WITH audit AS (
    SELECT * FROM pg_class WHERE oid = to_regclass($1)
), tree AS (
    SELECT oid AS relid FROM audit UNION SELECT relid FROM audit, pg_partition_tree(oid)
), writer AS (
    SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE prorettype = 'trigger'::regtype AND nspname <> 'pgwitness' AND ($2::jsonb ? (nspname || '.' || proname)
        OR $2::jsonb ? proname::text AND pronamespace = (SELECT relnamespace FROM audit))
), trigger AS (
    SELECT t.*, format('%I on %s', tgname, tgrelid::regclass) AS name FROM pg_trigger t WHERE NOT tgisinternal AND tgparentid = 0
), rights AS (
    SELECT relowner AS owner, a.* FROM pg_class, aclexplode(relacl) AS a WHERE pg_class.oid IN (SELECT relid FROM tree)
        OR relkind = 'S' AND pg_class.oid IN (SELECT objid FROM pg_depend, audit WHERE classid = 'pg_class'::regclass
            AND refclassid = 'pg_class'::regclass AND refobjid = audit.oid AND deptype IN ('a', 'i'))
    UNION ALL SELECT relowner, a.* FROM audit JOIN pg_attribute ON attrelid = audit.oid, aclexplode(attacl) AS a
)
SELECT json_build_object(
    'kind', (SELECT relkind FROM audit),
    'persistence', (SELECT relpersistence FROM audit),
    'inherits', EXISTS (SELECT FROM audit JOIN pg_inherits ON oid IN (inhrelid, inhparent) AND relkind = 'r'),
    'bytes', (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM tree),
    'columns', (SELECT json_object_agg(attname, json_build_object('type', format_type(atttypid, NULL),
            'filled', atthasdef OR attidentity <> '' OR NOT attnotnull, 'generated', attgenerated <> ''))
        FROM pg_attribute, audit WHERE attrelid = audit.oid AND attnum > 0 AND NOT attisdropped),
    'partitioned_by', (SELECT pg_get_partkeydef(oid) FROM audit),
    'schema', EXISTS (SELECT FROM pg_namespace WHERE nspname = (parse_ident($1))[1]),
    'aside', to_regclass($3) IS NOT NULL,
    'ready', to_regclass('pgwitness.undo') IS NOT NULL AND to_regclass('pgwitness.attachment') IS NOT NULL,
    'reachable', coalesce(has_schema_privilege((SELECT oid FROM pg_roles WHERE rolname = 'pgwitness_audit'), (SELECT relnamespace FROM audit), 'USAGE'), false),
    'views', (SELECT json_agg(DISTINCT r.ev_class::regclass::text) FROM audit JOIN pg_depend d ON refclassid = 'pg_class'::regclass
            AND refobjid = audit.oid AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> audit.oid),
    'foreign_keys', (SELECT json_agg(format('%I of %s', conname, conrelid::regclass)) FROM pg_constraint, audit
        WHERE contype = 'f' AND audit.oid IN (confrelid, conrelid)),
    'rules', (SELECT json_agg(format('rule %I', rulename)) FROM pg_rewrite, audit WHERE ev_class = audit.oid),
    'triggers', (SELECT json_agg(format('trigger %I', tgname)) FROM trigger, audit WHERE tgrelid = audit.oid
        AND tgfoid NOT IN (SELECT oid FROM pg_proc WHERE pronamespace = to_regnamespace('pgwitness'))),
    -- Not sealed is where somebody else owns the table, may do more than read, or finds no guard
    'sealed', NOT EXISTS (SELECT FROM tree JOIN pg_class c ON c.oid = relid WHERE pg_get_userbyid(relowner) <> 'pgwitness_audit'
            OR relforcerowsecurity OR NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled = 'A'
                AND tgfoid = to_regprocedure('pgwitness.refuse()')::oid))
        AND NOT EXISTS (SELECT FROM rights WHERE privilege_type <> 'SELECT' AND grantee <> owner),
    'writers', (SELECT json_agg(json_build_object('name', name, 'mended', (SELECT (w.prosrc, w.proconfig, w.prosecdef, w.proowner) = (c.prosrc, c.proconfig, c.prosecdef, c.proowner)
            FROM pg_proc c WHERE c.oid = to_regprocedure('pgwitness.capture()')) IS TRUE)) FROM writer w),
    'unfit', (SELECT json_agg(name) FROM trigger WHERE tgfoid IN (SELECT oid FROM writer) AND tgtype & 67 <> 1 AND tgtype & 32 = 0),
    'weak', (SELECT json_agg(name) FROM trigger WHERE tgfoid IN (SELECT oid FROM writer) AND tgtype & 32 = 0 AND tgrelid <> (SELECT oid FROM audit)
        AND (tgenabled <> 'A' OR NOT EXISTS (SELECT FROM trigger o WHERE o.tgrelid = trigger.tgrelid AND o.tgtype & 32 <> 0 AND o.tgenabled = 'A'))),
    -- Others write into it too, as far as their source tells
    'others', (SELECT json_agg(DISTINCT p.oid::regprocedure::text) FROM pg_proc p, audit
        WHERE prosrc ~* ('\minto\s+("?\w+"?\.)?"?' || regexp_replace(relname, '\W', '\\\&', 'g') || '\M')
            AND p.oid NOT IN (SELECT oid FROM writer) AND pronamespace <> coalesce(to_regnamespace('pgwitness'), 0)),
    'captured', (SELECT (regexp_match(prosrc, 'INSERT INTO (.+?) \(event_type'))[1] FROM pg_proc WHERE oid = to_regprocedure('pgwitness.capture()')),
    'time_zone', (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'),
    'zones', (SELECT json_agg(DISTINCT substr(s, 10)) FROM pg_db_role_setting, unnest(setconfig) AS s WHERE s ILIKE 'TimeZone=%'),
    'captured_tables', (SELECT json_agg(DISTINCT tgrelid::regclass::text) FROM trigger WHERE tgfoid IN (SELECT oid FROM pg_proc
        WHERE pronamespace = to_regnamespace('pgwitness') AND proname LIKE 'capture%')),
    'months', (SELECT count(*) FROM generate_series(0, 3) AS i WHERE NOT EXISTS (SELECT FROM tree JOIN pg_class c ON c.oid = relid
        WHERE relname LIKE '%' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + i * interval '1 month', '_YYYY_MM')))
)
