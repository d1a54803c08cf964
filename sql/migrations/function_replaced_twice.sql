-- Two deployments replace the same function at once
-- Reference: opengovsg/GoGovSG#1831; folio-org/raml-module-builder#1102; PostgreSQL docs, "Advisory Locks"
--
-- CREATE OR REPLACE FUNCTION locks no name. The second one waits for the first one's row in pg_proc, and fails with
-- "tuple concurrently updated" (XX000). An advisory lock, the same for all deployments, lets one go after the other.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE FUNCTION vat() RETURNS numeric LANGUAGE sql AS 'SELECT 0.19';
CREATE TABLE deployed (worker int PRIMARY KEY);

-- chaos:session deployment x 2
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('deployment'));
CREATE OR REPLACE FUNCTION vat() RETURNS numeric LANGUAGE sql AS 'SELECT 0.20';
INSERT INTO deployed VALUES (:worker);
-- chaos:barrier replaced unless blocked
COMMIT;

-- chaos:check
SELECT is(vat(), 0.20, 'the function is the new one');
SELECT is((SELECT count(*) FROM deployed), 2::bigint, 'both deployments came through');

-- chaos:mutant nobody takes the lock
-- chaos:replace 'SELECT pg_advisory_xact_lock(hashtext(''deployment''))' with '' in deployment
-- chaos:caught by 'internal_error'

-- chaos:mutant each deployment has a lock of its own
-- chaos:replace 'hashtext(''deployment'')' with 'hashtext(''deployment'') + :worker' in deployment
-- chaos:caught by 'internal_error'
