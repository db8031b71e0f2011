-- Takes off what events.sql and login.sql put on, as a superuser. The audit rows stay.

SET client_min_messages = warning;
DROP EVENT TRIGGER IF EXISTS pgwitness_ddl;
DROP EVENT TRIGGER IF EXISTS pgwitness_drop;
DROP EVENT TRIGGER IF EXISTS pgwitness_login;
DROP FUNCTION IF EXISTS pgwitness.capture_ddl(), pgwitness.capture_login();
DROP FUNCTION IF EXISTS pgwitness.ddl_objects(text, text);
RESET client_min_messages;
