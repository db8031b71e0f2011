-- The audit table with its partitions, as one JSON document; null if there is none.
-- $1 schema, $2 table.
WITH RECURSIVE root AS (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p')
), tree AS (
    SELECT oid FROM root
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
), relation AS (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
    FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
), sequence AS ( -- of serial, or of an identity column
    SELECT s.*, c.relowner, c.relacl, a.attname, format('%I.%I', n.nspname, c.relname) AS name
    FROM root JOIN pg_depend d ON d.refobjid = root.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i')
        JOIN pg_sequence s ON s.seqrelid = d.objid
        JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = root.oid AND a.attnum = d.refobjsubid
), granted AS (
    SELECT name, relowner, (aclexplode(relacl)).* FROM relation
    UNION ALL
    SELECT name, relowner, (aclexplode(attacl)).* FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped
    UNION ALL
    SELECT name, relowner, (aclexplode(relacl)).* FROM sequence
)
SELECT json_build_object(
    'name', (SELECT name FROM relation WHERE oid = root.oid),
    'partitioned', root.relkind = 'p',
    'replica_identity', root.relreplident,
    'owner', (SELECT json_build_object('name', rolname, 'quoted', quote_ident(rolname), 'login', rolcanlogin, 'superuser', rolsuper) FROM pg_roles r WHERE r.oid = root.relowner),
    -- Who may act for the owner without being a superuser.
    'owner_members', (SELECT coalesce(json_agg(quote_ident(rolname) ORDER BY rolname), '[]') FROM pg_roles r
        WHERE rolcanlogin AND NOT rolsuper AND r.oid <> root.relowner AND pg_has_role(r.oid, root.relowner, 'MEMBER')),
    'readable', has_table_privilege(root.oid, 'SELECT') AND has_schema_privilege(root.relnamespace, 'USAGE') AND NOT row_security_active(root.oid),
    'columns', (SELECT json_agg(json_build_object('name', attname, 'quoted', quote_ident(attname), 'type', format_type(atttypid, NULL),
            'length', CASE WHEN atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND atttypmod > 4 THEN atttypmod - 4 END) ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = root.oid AND attnum > 0 AND NOT attisdropped),
    'key', (SELECT coalesce(json_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum)), '[]') FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = root.oid AND a.attnum = ANY (i.indkey::int2[])
        WHERE i.indrelid = root.oid AND i.indisprimary),
    'sequence', (SELECT json_build_object('name', name, 'column', attname, 'type', format_type(seqtypid, NULL), 'max', seqmax,
            'cycles', seqcycle,
            'last', CASE WHEN has_sequence_privilege(seqrelid, 'SELECT,USAGE') THEN pg_sequence_last_value(seqrelid) END)
        FROM sequence ORDER BY attname <> 'id' LIMIT 1),
    'relations', (SELECT json_agg(json_build_object(
            'name', r.name, 'root', r.oid = root.oid, 'kind', r.relkind, 'bound', pg_get_expr(r.relpartbound, r.oid),
            'default', pg_get_expr(r.relpartbound, r.oid) = 'DEFAULT',
            'row_security', r.relrowsecurity, 'forced', r.relforcerowsecurity, 'full_identity', r.relreplident = 'f',
            'autovacuum_off', EXISTS (SELECT FROM pg_options_to_table(r.reloptions)
                WHERE option_name = 'autovacuum_enabled' AND option_value IN ('false', 'off', 'no', '0')),
            'bytes', CASE WHEN r.relkind = 'r' THEN pg_total_relation_size(r.oid) ELSE 0 END,
            'heap_bytes', CASE WHEN r.relkind = 'r' THEN pg_relation_size(r.oid) ELSE 0 END,
            'rows', CASE WHEN r.relkind = 'r' AND r.reltuples >= 0 THEN r.reltuples::bigint END,
            'guard', (SELECT json_build_object('enabled', t.tgenabled, 'function', format('%I.%I', n.nspname, p.proname), 'type', t.tgtype)
                FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE t.tgrelid = r.oid AND t.tgname = 'pgwitness_refuse')) ORDER BY r.oid <> root.oid, r.name)
        FROM relation r),
    'indexes', (SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', n.nspname, c.relname), 'method', m.amname,
            'primary', i.indisprimary, 'valid', i.indisvalid, 'columns', (SELECT json_agg(a.attname) FROM pg_attribute a
                WHERE a.attrelid = root.oid AND a.attnum = ANY (i.indkey::int2[]))) ORDER BY c.relname), '[]')
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = root.oid),
    -- What else may change or swallow a row on its way into the table.
    'interceptors', (SELECT coalesce(json_agg(format('trigger %I on %s', t.tgname, r.name) ORDER BY r.name, t.tgname), '[]')
            FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal AND t.tgname <> 'pgwitness_refuse'),
    'rules', (SELECT coalesce(json_agg(format('rule %I on %s', w.rulename, r.name) ORDER BY r.name, w.rulename), '[]')
            FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid),
    'grants', (SELECT coalesce(json_agg(g ORDER BY g.privilege, g.grantee, g.relation), '[]') FROM (
            SELECT DISTINCT name AS relation, privilege_type AS privilege, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS grantee,
                CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS quoted
            FROM granted WHERE grantee <> relowner) g),
    -- Members of pg_write_all_data need no grant.
    'write_all', (SELECT coalesce(json_agg(quote_ident(rolname) ORDER BY rolname), '[]') FROM pg_roles r
        WHERE NOT rolsuper AND rolname <> 'pg_write_all_data' AND pg_has_role(r.oid, 'pg_write_all_data', 'USAGE')),
    'default_name', format('pgwitness.%I', left($2::text, 55) || '_default'),
    'replaced', (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1::text AND c.relname = $2::text || '_old' AND c.relkind IN ('r', 'p')))
FROM root
