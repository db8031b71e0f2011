-- Who could get past everything, as one JSON document.
SELECT json_build_object(
    'superusers', (SELECT coalesce(json_agg(quote_ident(rolname) ORDER BY oid), '[]') FROM pg_roles WHERE rolsuper AND rolcanlogin),
    'temporary', (SELECT coalesce(json_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END), '[]')
        FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        WHERE d.datname = current_database() AND a.privilege_type = 'TEMPORARY' AND a.grantee <> d.datdba),
    'installed', EXISTS (SELECT FROM pg_namespace WHERE nspname = 'pgwitness'),
    -- Trigger functions of ours write audit rows, so nobody else may make a trigger that calls one.
    'executable', (SELECT coalesce(json_agg(DISTINCT format('%s by %s', p.oid::regprocedure,
            CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)), '[]')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE n.nspname = 'pgwitness' AND a.grantee <> p.proowner),
    'mask_key', (SELECT json_build_object('readers', (SELECT coalesce(json_agg(quote_ident(rolname) ORDER BY rolname), '[]') FROM pg_roles r
            WHERE rolcanlogin AND NOT rolsuper AND has_table_privilege(r.oid, c.oid, 'SELECT') AND has_schema_privilege(r.oid, n.oid, 'USAGE')))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pgwitness' AND c.relname = 'mask_key'))
