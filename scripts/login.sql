-- What writes logins into public.custom_audit_log: an event trigger, which only a superuser can make, from PostgreSQL 17. Run
-- it after capture.sql. unevents.sql takes it off.

-- capture_login writes an audit row of each login to this database. No fault may lock anybody out: what cannot be written at
-- once is a line in the server's log instead. So is the login of a session that begins read-only.
CREATE OR REPLACE FUNCTION pgwitness.capture_login() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC' SET standard_conforming_strings = 'on'
SET lock_timeout = '200ms' SET transaction_timeout = 0
AS $pgwitness$
DECLARE
    problem text;
BEGIN
    -- A walsender that has seen a table as it is now would decode older rows of it with the columns that it has now.
    IF pg_is_in_recovery() OR 'walsender' = (SELECT backend_type FROM pg_stat_get_activity(pg_backend_pid())) THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'local', true); -- a standby that is down must not be waited for
    INSERT INTO public.custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data, schema_name, rel_oid,
        session_user_name, tx_id, client_addr, application_name, actor, request_id)
    VALUES ('LOGIN', current_timestamp, CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END,
        NULL, jsonb_build_object('v', 2, 'event_type', 'LOGIN', 'authenticated_as', system_user), NULL, NULL,
        session_user, txid_current(), inet_client_addr(), current_setting('application_name'),
        nullif(current_setting('audit.actor', true), ''), nullif(current_setting('audit.request_id', true), ''));
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
    RAISE LOG 'pgwitness could not write this login of % from % into the audit table: %', session_user,
        coalesce(host(inet_client_addr()), 'a local socket'), problem;
END
$pgwitness$;

ALTER FUNCTION pgwitness.capture_login() OWNER TO pgwitness_audit;
REVOKE ALL ON FUNCTION pgwitness.capture_login() FROM PUBLIC;

-- There is no CREATE OR REPLACE of an event trigger. ALWAYS: also where session_replication_role is replica.
SET client_min_messages = warning;
DROP EVENT TRIGGER IF EXISTS pgwitness_login;
CREATE EVENT TRIGGER pgwitness_login ON login EXECUTE FUNCTION pgwitness.capture_login();
ALTER EVENT TRIGGER pgwitness_login ENABLE ALWAYS;
RESET client_min_messages;
