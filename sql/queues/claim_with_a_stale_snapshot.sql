-- A worker that waited for an advisory lock looks at its job again
-- Reference: PostgreSQL docs, "Explicit Locking", Advisory Locks; https://www.postgresql.org/docs/current/mvcc-caveats.html
--
-- Workers claim a job by an advisory lock on its number. A statement sees the rows as they were when it began. If it waits
-- for the lock inside the WHERE that reads the job, it still sees the job waiting after the other worker has done it.
-- Lock in one statement, read in the next.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule one.claims one.works two.claims one.ends two.works two.ends

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, state text NOT NULL DEFAULT 'waiting');
CREATE TABLE execution (job_id int NOT NULL, worker text NOT NULL);
INSERT INTO job VALUES (1);

-- chaos:session one
-- chaos:step claims
BEGIN;
SELECT pg_advisory_xact_lock(77, 1);
SELECT count(*) > 0 AS mine FROM job WHERE id = 1 AND state = 'waiting' \gset
-- chaos:step works
\if :mine
INSERT INTO execution VALUES (1, 'one');
UPDATE job SET state = 'done' WHERE id = 1;
\endif
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step claims
BEGIN;
SELECT pg_advisory_xact_lock(77, 1);
SELECT count(*) > 0 AS mine FROM job WHERE id = 1 AND state = 'waiting' \gset
-- chaos:step works
\if :mine
INSERT INTO execution VALUES (1, 'two');
UPDATE job SET state = 'done' WHERE id = 1;
\endif
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT results_eq('SELECT job_id, worker FROM execution', $$VALUES (1, 'one')$$, 'the job was done once');
SELECT is(count(*), 1::bigint, 'the second worker waited for the first')
  FROM chaos.history WHERE session = 'two' AND waited_on = 'one[1]';

-- chaos:mutant the lock is taken where the job is read
-- chaos:replace 'SELECT pg_advisory_xact_lock(77, 1);' with '' in two
-- chaos:replace 'AND state = ''waiting''' with 'AND state = ''waiting'' AND pg_advisory_xact_lock(77, id) IS NOT NULL' in two
-- chaos:caught by 'the job was done once'

-- chaos:mutant the transaction has one snapshot
-- chaos:replace 'BEGIN' with 'BEGIN ISOLATION LEVEL REPEATABLE READ' in two
-- chaos:replace 'UPDATE job SET state = ''done'' WHERE id = 1' with '' in two
-- chaos:caught by 'the job was done once'
