-- A queue worker is killed before its commit, or after it; the job is done once
-- Reference: PostgreSQL docs, SELECT, "The Locking Clause" (SKIP LOCKED)
--
-- SIGKILL of one backend, as the out-of-memory killer sends it: the server ends all others, too, and recovers. Killed
-- before its commit, the worker's claim is gone with its work, and the heir does the job. Killed when the commit was
-- durable and not yet answered, the job is done, and the heir finds none.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:matrix killed in before, after
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, state text NOT NULL DEFAULT 'waiting');
CREATE TABLE execution (job_id int NOT NULL, worker text NOT NULL);
INSERT INTO job VALUES (1);

-- chaos:session doomed allow connection_failure
BEGIN;
SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
INSERT INTO execution VALUES (:id, 'doomed');
UPDATE job SET state = 'done' WHERE id = :id;
-- chaos:fault kill before when killed = before
-- chaos:fault kill during when killed = after
COMMIT;
-- chaos:signal gone

-- chaos:session heir retry connection_failure
-- chaos:wait for gone
BEGIN;
WITH claimed AS (
    SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
), executed AS (
    INSERT INTO execution SELECT id, 'heir' FROM claimed
)
UPDATE job SET state = 'done' FROM claimed WHERE job.id = claimed.id;
COMMIT;

-- chaos:check
SELECT results_eq('SELECT id, state FROM job', $$VALUES (1, 'done')$$, 'the job was done');
SELECT results_eq(
    'SELECT job_id, worker FROM execution',
    format('VALUES (1, %L)', CASE :'killed' WHEN 'before' THEN 'heir' ELSE 'doomed' END), 'once, by whom it should');
SELECT is(count(*), 1::bigint, 'the doomed worker was not told')
  FROM chaos.transactions WHERE session = 'doomed' AND outcome = 'unknown';

-- chaos:mutant nothing is killed
-- chaos:session doomed
BEGIN;
SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
INSERT INTO execution VALUES (:id, 'doomed');
UPDATE job SET state = 'done' WHERE id = :id;
COMMIT;
-- chaos:signal gone
-- chaos:caught by 'the doomed worker was not told'

-- chaos:mutant the claim is committed before the work when killed = before
-- chaos:session doomed
UPDATE job SET state = 'claimed' WHERE id = 1;
BEGIN;
INSERT INTO execution VALUES (1, 'doomed');
UPDATE job SET state = 'done' WHERE id = 1;
-- chaos:fault kill before
COMMIT;
-- chaos:signal gone
-- chaos:caught by 'the job was done'

-- chaos:mutant the heir does not look at the state when killed = after
-- chaos:replace 'WHERE state = ''waiting''' with '' in heir
-- chaos:caught by 'once, by whom it should'

-- chaos:mutant the heir deletes the job when killed = before
-- chaos:replace 'UPDATE job SET state = ''done'' FROM claimed' with 'DELETE FROM job USING claimed' in heir
-- chaos:caught by 'the job was done'
