-- A queue worker is terminated while it holds a job
-- Reference: PostgreSQL docs, SELECT, "The Locking Clause" (SKIP LOCKED); pg_terminate_backend
--
-- The claim is a row lock, so it dies with the worker: the next worker gets the same job. A claim that was committed
-- before the work was done would outlive its worker, and the job would be stuck.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, state text NOT NULL DEFAULT 'waiting');
CREATE TABLE execution (job_id int NOT NULL, worker text NOT NULL);
INSERT INTO job VALUES (1);

-- chaos:session doomed allow admin_shutdown
BEGIN;
SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
-- chaos:signal claimed
-- chaos:wait for terminated
INSERT INTO execution VALUES (1, 'doomed');
UPDATE job SET state = 'done' WHERE id = 1;
COMMIT;

-- chaos:session operator
-- chaos:wait for claimed
SELECT count(*) AS skipped FROM (SELECT FROM job WHERE state = 'waiting' FOR UPDATE SKIP LOCKED) AS free;
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'doomed[1]';
-- chaos:signal terminated

-- chaos:session heir
-- chaos:wait for terminated
WITH claimed AS (
    SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
), executed AS (
    INSERT INTO execution SELECT id, 'heir' FROM claimed
)
UPDATE job SET state = 'done' FROM claimed WHERE job.id = claimed.id;

-- chaos:check
SELECT results_eq('SELECT id, state FROM job', $$VALUES (1, 'done')$$, 'the job was done');
SELECT results_eq('SELECT job_id, worker FROM execution', $$VALUES (1, 'heir')$$, 'once, by the heir');
SELECT is(count(*), 1::bigint, 'the doomed worker lost its connection')
  FROM chaos.history WHERE session = 'doomed' AND sqlstate = '57P01';

-- chaos:mutant the claim is committed before the work
-- chaos:session doomed
UPDATE job SET state = 'claimed' WHERE id = 1;
-- chaos:signal claimed
-- chaos:wait for terminated
BEGIN;
INSERT INTO execution VALUES (1, 'doomed');
UPDATE job SET state = 'done' WHERE id = 1;
COMMIT;
-- chaos:caught by 'the job was done'

-- chaos:mutant the worker works outside the claim
-- chaos:session doomed
INSERT INTO execution VALUES (1, 'doomed');
-- chaos:signal claimed
-- chaos:wait for terminated
UPDATE job SET state = 'done' WHERE id = 1;
-- chaos:caught by 'once, by the heir'

-- chaos:mutant the heir deletes the job
-- chaos:replace 'UPDATE job SET state = ''done'' FROM claimed' with 'DELETE FROM job USING claimed' in heir
-- chaos:caught by 'the job was done'
