-- Each job of a queue is done once, by several workers
-- Reference: PostgreSQL docs, SELECT, "The Locking Clause" (SKIP LOCKED)
--
-- All workers claim a job before the first one finishes. For your own table set `setup` (a file that makes it, with as many
-- jobs as workers), `table`, `key`, and two statements: `claim` gives the keys of the jobs that a worker takes, `finish` ends
-- those that are in `execution`. `undone` is a condition on a job that is left.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:default setup = tables/queue.psql
-- chaos:default table = job
-- chaos:default key = id
-- chaos:default claim = SELECT :key FROM :table WHERE state = 'waiting' ORDER BY :key LIMIT 1 FOR UPDATE SKIP LOCKED
-- chaos:default finish = UPDATE :table SET state = 'done' WHERE :key::text IN (SELECT job FROM execution WHERE worker = :worker)
-- chaos:default undone = state <> 'done'
-- chaos:default workers = 3

-- chaos:setup
\i :setup
RESET search_path;
CREATE TABLE execution (job text NOT NULL, worker int NOT NULL);

-- chaos:session worker x :workers
BEGIN;
WITH claimed (job) AS (:claim) INSERT INTO execution SELECT job, :worker FROM claimed;
-- chaos:barrier claimed unless blocked
:finish;
COMMIT;

-- chaos:check
SELECT is_empty('SELECT job FROM execution GROUP BY job HAVING count(*) > 1', 'no job is done twice');
SELECT is((SELECT count(DISTINCT worker) FROM execution), :workers::bigint, 'each worker has a job');
SELECT is((SELECT count(*) FROM :table WHERE :undone), 0::bigint, 'no job is left');

-- chaos:mutant nothing is locked
-- chaos:replace 'AS (:claim)' with 'AS (SELECT :key FROM :table WHERE :undone ORDER BY :key LIMIT 1)' in worker
-- chaos:caught by 'no job is done twice'
-- chaos:caught by 'no job is left'

-- chaos:mutant jobs are not finished
-- chaos:replace ':finish' with 'SELECT' in worker
-- chaos:caught by 'no job is left'
