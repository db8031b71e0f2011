-- Brings back what harden.sql found: the trigger functions and triggers, the audit table's owner and everybody's rights. No
-- row is lost; types that were widened and columns that were added stay, and so do the schema pgwitness, which holds the key
-- of masked values, and the role pgwitness_audit. Run mend.sql before it, in the same transaction.

-- Lock the audited tables and the audit table
SELECT pg_temp.lock(pg_temp.captures() || ARRAY(SELECT pg_temp.writers()), 'ACCESS EXCLUSIVE');

-- From here on, nothing waits for a lock
SET LOCAL statement_timeout = 0;

-- Take off what writes into the audit table, and bring back what did so before
SELECT pg_temp.undo('{harden,attach}');
