-- The functions whose source names the audit table, with the triggers that call them, as one JSON document. Whether a
-- function does write the table is for the caller to find out.
-- $1 table.
SELECT coalesce(json_agg(json_build_object(
    'oid', p.oid::bigint, 'name', format('%I.%I', n.nspname, p.proname), 'schema', n.nspname, 'source', p.prosrc, 'language', l.lanname,
    'event', p.prorettype = 'event_trigger'::regtype,
    'owner', (SELECT json_build_object('name', rolname, 'quoted', quote_ident(rolname), 'login', rolcanlogin, 'superuser', rolsuper) FROM pg_roles r WHERE r.oid = p.proowner),
    'definer', p.prosecdef, 'config', coalesce(p.proconfig, '{}'), 'public', has_function_privilege('public', p.oid, 'EXECUTE'),
    'executors', (SELECT coalesce(json_agg(DISTINCT quote_ident(pg_get_userbyid(a.grantee))), '[]') FROM aclexplode(p.proacl) a
        WHERE a.grantee NOT IN (0, p.proowner) AND a.privilege_type = 'EXECUTE'),
    'event_triggers', (SELECT coalesce(json_agg(json_build_object('name', quote_ident(e.evtname), 'event', e.evtevent,
            'enabled', e.evtenabled)), '[]') FROM pg_event_trigger e WHERE e.evtfoid = p.oid),
    'triggers', (SELECT coalesce(json_agg(json_build_object('relation', format('%I.%I', tn.nspname, c.relname),
            'name', quote_ident(t.tgname), 'enabled', t.tgenabled, 'type', t.tgtype, 'conditional', t.tgqual IS NOT NULL,
            'old_table', t.tgoldtable, 'partition', c.relispartition) ORDER BY tn.nspname, c.relname, t.tgname), '[]')
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace tn ON tn.oid = c.relnamespace
        WHERE t.tgfoid = p.oid))
    ORDER BY n.nspname, p.proname), '[]')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND position(lower($1::text) IN lower(p.prosrc)) > 0
