-- What `pgwitness init` looks at, as one JSON document.
-- $1 schema, $2 table, $3 role, $4 publication, $5 slot.
WITH RECURSIVE audit AS (
    SELECT c.*
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relname = $2::text
), tree AS ( -- the table and its partitions, whatever their level
    SELECT oid FROM audit
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
), relation AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind, c.relpersistence,
        -- Does UPDATE and DELETE work while they are published? The same question as the server's
        -- CheckCmdReplicaIdentity asks, which takes no index that is deferrable, partial or invalid, and from 18 on
        -- no FULL with virtual columns. A partitioned table is asked for what its future partitions will get from it:
        -- a primary key, for the identity itself is not inherited.
        CASE WHEN c.relkind = 'r' AND c.relreplident = 'f'
            THEN NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 'v')
            ELSE EXISTS (SELECT FROM pg_index i
                WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
                    AND CASE WHEN c.relkind = 'p' OR c.relreplident = 'd' THEN i.indisprimary
                        ELSE c.relreplident = 'i' AND i.indisreplident END)
        END AS identity
    FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
), rds AS ( -- Amazon gives REPLICATION by membership
    SELECT oid FROM pg_roles WHERE rolname = 'rds_replication'
), account AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolcanlogin, r.rolcreaterole,
        r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM rds WHERE pg_has_role(r.oid, rds.oid, 'MEMBER')) AS replication
    FROM pg_roles r WHERE r.rolname IN (current_user, $3::text)
)
SELECT json_build_object(
    'names', json_build_object(
        'table', format('%I.%I', $1::text, $2::text), 'schema_literal', quote_literal($1::text),
        'table_literal', quote_literal($2::text), 'role', quote_ident($3::text),
        'publication', quote_ident($4::text), 'publication_literal', quote_literal($4::text),
        'database', quote_ident(current_database())),
    'admin', (SELECT json_build_object(
            'name', rolname, 'create_role', rolsuper OR rolcreaterole, 'replication', replication,
            'create', has_database_privilege(d.oid, 'CREATE'),
            'grant', pg_has_role(d.datdba, 'USAGE') OR has_database_privilege(d.oid, 'CONNECT WITH GRANT OPTION'))
        FROM account WHERE rolname = current_user),
    'public_connect', has_database_privilege('public', d.oid, 'CONNECT'),
    'rds', EXISTS (SELECT FROM rds),
    'role', (SELECT json_build_object(
            'login', rolcanlogin, 'replication', replication,
            'connect', has_database_privilege(oid, d.oid, 'CONNECT'))
        FROM account WHERE rolname = $3::text),
    'table', (SELECT json_build_object(
            'kind', relkind, 'persistence', relpersistence, 'owned', pg_has_role(relowner, 'USAGE'),
            'children', relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = audit.oid),
            'stored', EXISTS (SELECT FROM pg_attribute a JOIN tree ON a.attrelid = tree.oid
                WHERE a.attgenerated = 's' AND NOT a.attisdropped),
            'relations', (SELECT json_agg(json_build_object('name', name, 'kind', relkind, 'persistence', relpersistence,
                'identity', identity) ORDER BY relation.oid <> audit.oid, name) FROM relation))
        FROM audit),
    -- to_jsonb of a whole row also has the columns that only some versions know.
    'publication', (SELECT to_jsonb(p) || jsonb_build_object(
            'owned', pg_has_role(p.pubowner, 'USAGE'),
            'published', EXISTS (SELECT FROM pg_publication_tables t
                WHERE t.pubname = p.pubname AND t.schemaname = $1::text AND t.tablename = $2::text),
            'others', (SELECT count(*) FROM pg_publication_tables t
                WHERE t.pubname = p.pubname
                    AND format('%I.%I', t.schemaname, t.tablename) NOT IN (SELECT name FROM relation)),
            'member', (SELECT to_jsonb(m) FROM pg_publication_rel m JOIN audit ON m.prrelid = audit.oid WHERE m.prpubid = p.oid))
        FROM pg_publication p WHERE p.pubname = $4::text),
    'slot', (SELECT to_jsonb(s) FROM pg_replication_slots s WHERE s.slot_name = $5::text))
FROM pg_database d WHERE d.datname = current_database()
