-- A worker that asks for two jobs claims two jobs
-- Reference: https://stackoverflow.com/questions/11532550 (UPDATE … LIMIT); PostgreSQL docs, SELECT, "The Locking Clause"
--
-- A subselect after IN is joined to the table, and the planner may choose to run it again for each row. Each time, the rows
-- that the statement has just updated are gone, and the subselect locks the next ones: the worker claims all jobs. An
-- ARRAY(…) is computed once. The settings below make the planner choose the join that runs it again.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, worker int);
INSERT INTO job SELECT id FROM generate_series(1, 10) AS id;
ANALYZE job;

-- chaos:session worker x 2
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_hashagg = off;
SET enable_sort = off;
SET enable_material = off;
BEGIN;
UPDATE job SET worker = :worker
 WHERE id = ANY (ARRAY(SELECT id FROM job WHERE worker IS NULL LIMIT 2 FOR UPDATE SKIP LOCKED));
-- chaos:barrier claimed unless blocked
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT worker, count(*) FROM job WHERE worker IS NOT NULL GROUP BY worker ORDER BY worker',
    'VALUES (1, 2::bigint), (2, 2::bigint)', 'each worker claimed two jobs');

-- chaos:mutant the subselect is joined
-- chaos:replace '= ANY (ARRAY(' with 'IN ((' in worker
-- chaos:caught by 'each worker claimed two jobs'

-- chaos:mutant the rows are not locked
-- chaos:replace 'FOR UPDATE SKIP LOCKED' with '' in worker
-- chaos:caught by 'each worker claimed two jobs'
