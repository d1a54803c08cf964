-- A pooled connection does not show one client the rows of the client before
-- Reference: PostgreSQL docs, "Row Security Policies"; https://www.pgbouncer.org/features.html (SET in transaction pooling)
--
-- A policy shows the rows of the tenant that a setting names. SET lasts as long as the connection, and the pool gives the
-- connection to the next client: if that one forgets to name its tenant, it reads as the last one. SET LOCAL ends with the
-- transaction, and who names no tenant then sees nothing.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule pooled.ann other.reads pooled.forgets

-- chaos:setup
CREATE TABLE invoice (tenant text NOT NULL, amount int NOT NULL);
INSERT INTO invoice VALUES ('ann', 10), ('bob', 20);
ALTER TABLE invoice ENABLE ROW LEVEL SECURITY;
ALTER TABLE invoice FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON invoice USING (tenant = current_setting('app.tenant', true));
GRANT SELECT ON invoice TO PUBLIC;

-- chaos:session pooled
-- chaos:step ann
-- policies do not apply to superusers
SELECT rolsuper FROM pg_roles WHERE rolname = current_user \gset
\if :rolsuper
SET ROLE pg_monitor;
\endif
BEGIN;
SET LOCAL app.tenant = 'ann';
SELECT chaos.assert(sum(amount) = 10, 'a client sees its own rows') FROM invoice;
COMMIT;
-- chaos:step forgets
BEGIN;
SELECT chaos.assert(count(*) = 0, 'the next client does not see them') FROM invoice;
COMMIT;

-- chaos:session other
-- chaos:step reads
SELECT rolsuper FROM pg_roles WHERE rolname = current_user \gset
\if :rolsuper
SET ROLE pg_monitor;
\endif
SELECT chaos.assert(count(*) = 0, 'nor does another connection') FROM invoice;

-- chaos:mutant the tenant is set for the connection
-- chaos:replace 'SET LOCAL' with 'SET' in pooled
-- chaos:caught by 'the next client does not see them'

-- chaos:mutant the owner is not subject to the policy
ALTER TABLE invoice DISABLE ROW LEVEL SECURITY;
-- chaos:caught by 'a client sees its own rows'
-- chaos:caught by 'nor does another connection'
