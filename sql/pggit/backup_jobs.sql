-- A queue of backup jobs gives each job once
-- Reference: pgGit's main branch, enqueue_backup_job, get_next_backup_job, complete_backup_job
--
-- Three workers take jobs at the same time until there are none, and one of them is killed with a job in its hands. Each
-- job is given once and completed; the job of the dead worker is given to another.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3 with get_next_backup_job

-- chaos:setup
SELECT count(pggit.enqueue_backup_job(gen_random_uuid(), 'job ' || n, 'pg_dump')) FROM generate_series(1, 12) AS n;
CREATE TABLE public.given (worker text, command text);

-- chaos:session doomed allow 57P01
BEGIN;
INSERT INTO public.given SELECT 'doomed', command FROM pggit.get_next_backup_job('doomed');
-- chaos:fault terminate before
COMMIT;
-- chaos:signal terminated

-- chaos:session worker x 3 repeat 20
-- chaos:wait for terminated
BEGIN;
WITH job AS (SELECT * FROM pggit.get_next_backup_job('worker ' || :worker)), given AS (INSERT INTO public.given SELECT :worker, command FROM job)
SELECT count(pggit.complete_backup_job(job_id)) FROM job;
COMMIT;

-- chaos:check
SELECT results_eq('SELECT count(*)::int, count(DISTINCT command)::int FROM public.given', 'VALUES (12, 12)', 'each job is given once');
SELECT is((SELECT count(*)::int FROM pggit.get_next_backup_job('late')), 0, 'no job is left');
SELECT is((SELECT count(*)::int FROM chaos.history WHERE session = 'doomed' AND sqlstate = '57P01'), 1, 'one worker was killed');

-- chaos:mutant jobs are not taken
-- chaos:replace 'count(pggit.complete_backup_job(job_id))' with 'chaos.fail(''40001'')' in worker
-- chaos:caught by '40001'
