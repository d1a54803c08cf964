-- Two workers look for a job without a claim
-- Reference: PostgreSQL docs, "Transaction Isolation", Read Committed; SELECT, "The Locking Clause"
--
-- After it has waited for the job's row, FOR UPDATE OF job checks that row again, but joins it to what the statement saw of
-- claims before the wait: none. So the second worker gets the same job. Lock first, and look for claims in the next
-- statement, which has a new snapshot.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0);
CREATE TABLE claim (job_id int NOT NULL REFERENCES job, worker int NOT NULL);
INSERT INTO job VALUES (1);

-- chaos:session worker x 2
BEGIN;
SELECT id FROM job WHERE id = 1 FOR UPDATE;
SELECT count(*) = 0 AS free FROM claim WHERE job_id = 1 \gset
-- chaos:barrier looked unless blocked
\if :free
INSERT INTO claim VALUES (1, :worker);
UPDATE job SET touched = touched + 1 WHERE id = 1;
\endif
COMMIT;

-- chaos:check
SELECT is((SELECT count(*) FROM claim), 1::bigint, 'the job is claimed once');
SELECT is((SELECT touched FROM job), 1, 'and touched once');

-- chaos:mutant one statement locks and looks
-- chaos:session worker
BEGIN;
SELECT count(*) = 1 AS free FROM (
    SELECT FROM job LEFT JOIN claim ON job_id = job.id WHERE job_id IS NULL FOR UPDATE OF job
) AS unclaimed \gset
-- chaos:barrier looked unless blocked
\if :free
INSERT INTO claim VALUES (1, :worker);
UPDATE job SET touched = touched + 1 WHERE id = 1;
\endif
COMMIT;
-- chaos:caught by 'the job is claimed once'

-- chaos:mutant nobody locks the job
-- chaos:replace 'FOR UPDATE' with '' in worker
-- chaos:caught by 'the job is claimed once'
