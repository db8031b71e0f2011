-- The roles that were given the right to set session_replication_role, as one JSON document. PostgreSQL 15 and later.
SELECT coalesce(json_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END), '[]')
FROM pg_parameter_acl p, aclexplode(p.paracl) a
WHERE p.parname = 'session_replication_role' AND a.privilege_type = 'SET' AND a.grantee <> 10
