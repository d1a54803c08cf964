-- An advisory lock is taken for a transaction, for a pool gives each transaction another connection
-- Reference: rails/rails#32622; goauthentik/authentik#23876; https://www.pgbouncer.org/features.html (advisory locks)
--
-- A job takes a session lock in one transaction, and the pool gives it another connection to unlock on: false, with no
-- more than a warning. The lock stays on the first connection, held by nobody's job, and the next job does not get it (or
-- gets the very connection that holds it, and runs beside another). A lock of the transaction ends with it. PgBouncer
-- stands between these jobs and the server.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:pooler transaction size 2
-- chaos:schedule first.locks other.begins first.unlocks second.tries other.ends

-- chaos:setup
CREATE TABLE done (job text NOT NULL);

-- chaos:session first
-- chaos:step locks
BEGIN;
SELECT pg_advisory_xact_lock(42);
INSERT INTO done VALUES ('first');
-- chaos:step unlocks
COMMIT;

-- it has the connection that was used last, if that is free
-- chaos:session other
-- chaos:step begins
BEGIN;
INSERT INTO done VALUES ('other');
-- chaos:step ends
COMMIT;

-- chaos:session second
-- chaos:step tries
SELECT chaos.assert(pg_try_advisory_xact_lock(42), 'the next job gets the lock');

-- chaos:check
SELECT results_eq('SELECT job FROM done ORDER BY job', ARRAY['first', 'other'], 'both jobs are done');

-- chaos:mutant the lock is taken and released in transactions of their own
-- chaos:session first
-- chaos:step locks
SELECT pg_advisory_lock(42);
INSERT INTO done VALUES ('first');
-- chaos:step unlocks
SELECT pg_advisory_unlock(42);
-- chaos:caught by 'the next job gets the lock'
-- chaos:caught by 'leak'

-- chaos:mutant the lock outlives its transaction
-- chaos:replace 'pg_advisory_xact_lock' with 'pg_advisory_lock' in first
-- chaos:replace 'pg_try_advisory_xact_lock' with 'pg_try_advisory_lock' in second
-- chaos:caught by 'leak'
