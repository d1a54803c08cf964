-- A pooled connection does not show one client the rows of the client before
-- Reference: PostgreSQL docs, "Row Security Policies"; https://www.pgbouncer.org/features.html (SET in transaction pooling)
--
-- A policy shows the rows of the tenant that a setting names. SET lasts as long as the connection, and a transaction pool
-- gives the connection to the next client: if that one forgets to name its tenant, it reads as the last one. SET LOCAL ends
-- with the transaction, and who names no tenant then sees nothing. A session pool resets a connection that it gives on
-- (server_reset_query, DISCARD ALL). PgBouncer stands between these clients and the server.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:matrix pooling in transaction, session
-- chaos:pooler transaction size 1 when pooling = transaction
-- chaos:pooler session size 1 when pooling = session
-- chaos:schedule ann.reads bob.forgets

-- chaos:setup
CREATE TABLE invoice (tenant text NOT NULL, amount int NOT NULL);
INSERT INTO invoice VALUES ('ann', 10), ('bob', 20);
ALTER TABLE invoice ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON invoice USING (tenant = current_setting('app.tenant', true));
GRANT SELECT ON invoice TO PUBLIC;
CREATE TABLE served (backend int NOT NULL);

-- chaos:session ann
-- chaos:step reads
BEGIN;
INSERT INTO served VALUES (pg_backend_pid());
-- policies do not apply to superusers
SET LOCAL ROLE pg_monitor;
SET LOCAL app.tenant = 'ann';
SELECT chaos.assert(sum(amount) = 10, 'a client sees its own rows') FROM invoice;
COMMIT;

-- chaos:session bob
-- chaos:step forgets
BEGIN;
INSERT INTO served VALUES (pg_backend_pid());
SET LOCAL ROLE pg_monitor;
SELECT chaos.assert(count(*) = 0, 'the next client does not see them') FROM invoice;
COMMIT;

-- chaos:check
SELECT is(count(DISTINCT backend), 1::bigint, 'both had the same connection') FROM served;

-- chaos:mutant the tenant is set for the connection when pooling = transaction
-- chaos:replace 'SET LOCAL app' with 'SET app' in ann
-- chaos:caught by 'the next client does not see them'

-- chaos:mutant the policy is not applied to the role
ALTER TABLE invoice DISABLE ROW LEVEL SECURITY;
-- chaos:caught by 'a client sees its own rows'
-- chaos:caught by 'the next client does not see them'
