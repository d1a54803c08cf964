-- A batch job that is started while its last run goes on does nothing
-- Reference: PostgreSQL docs, "Explicit Locking", Advisory Locks; docs of CREATE PROCEDURE (transaction control)
--
-- The batch commits in the middle, so the guard must be a lock of the session: one of the transaction ends with the first
-- COMMIT, and the second run begins beside the first. The guard is given back at the end, or with the connection.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule first.starts first.commits second.starts first.goes_on second.goes_on first.ends second.ends third.starts

-- chaos:setup
CREATE TABLE sent (day int NOT NULL, run text NOT NULL);

-- chaos:session first
-- chaos:step starts
BEGIN;
SELECT pg_try_advisory_lock(77) AS mine \gset
-- chaos:step commits
\if :mine
INSERT INTO sent VALUES (1, 'first');
\endif
COMMIT;
-- chaos:step goes_on
\if :mine
INSERT INTO sent VALUES (2, 'first');
\endif
-- chaos:step ends
SELECT CASE WHEN :'mine' THEN pg_advisory_unlock(77) END;

-- chaos:session second
-- chaos:step starts
SELECT pg_try_advisory_lock(77) AS mine \gset
-- chaos:step goes_on
\if :mine
INSERT INTO sent VALUES (1, 'second'), (2, 'second');
\endif
-- chaos:step ends
SELECT CASE WHEN :'mine' THEN pg_advisory_unlock(77) END;

-- chaos:session third
-- chaos:step starts
SELECT chaos.assert(pg_try_advisory_lock(77), 'when the first run has ended, the next one can start');
SELECT pg_advisory_unlock(77);

-- chaos:check
SELECT bag_eq('SELECT day, run FROM sent', $$VALUES (1, 'first'), (2, 'first')$$, 'each day was sent once, by the first run');

-- chaos:mutant the lock ends with the first transaction
-- chaos:replace 'pg_try_advisory_lock(77)' with 'pg_try_advisory_xact_lock(77)' in first
-- chaos:caught by 'each day was sent once, by the first run'

-- chaos:mutant the lock is not given back
-- chaos:replace 'pg_advisory_unlock(77)' with 'true' in first
-- chaos:caught by 'when the first run has ended, the next one can start'
-- chaos:caught by 'leak'
