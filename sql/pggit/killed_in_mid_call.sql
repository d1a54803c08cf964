-- A backend that is terminated in the middle of a call leaves nothing
-- Reference: PostgreSQL docs, pg_terminate_backend; pgGit 0.1.3
--
-- The doomed client's call has begun its work and waits for another session when its connection is cut. No row of it
-- stays, nobody is blocked by it, and the next client's call does all of the work.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix call in create_commit, create_branch, merge_branches, apply_migration

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int PRIMARY KEY);
SELECT pggit.create_branch('feature');
SELECT pggit.ensure_object_with_branch('VIEW', 'public', 'report', NULL, '{"by": "feature"}', 'feature');
INSERT INTO pggit.migrations (version, up_script) VALUES ('1', 'CREATE TABLE public.migrated (); ALTER TABLE public.orders ADD COLUMN note text');
CREATE TABLE public.call (name text, statement text, result text);
INSERT INTO public.call VALUES
('create_commit', $$SELECT pggit.create_commit('new', 'one', 'SELECT 1')$$,
 $$SELECT count(*) FROM pggit.commits JOIN pggit.branches AS b ON b.id = branch_id WHERE b.name = 'new'$$),
('create_branch', $$SELECT pggit.create_branch('new')$$,
 $$SELECT count(*) FROM pggit.objects AS o JOIN pggit.branches AS b ON b.name = o.branch_name WHERE b.name = 'new' AND full_name = 'public.orders'$$),
('merge_branches', $$SELECT pggit.merge_branches('feature', 'main', 'm')$$,
 $$SELECT count(*) FROM pggit.objects WHERE branch_name = 'main' AND full_name = 'public.report' AND metadata->>'by' = 'feature'$$),
('apply_migration', $$SELECT pggit.apply_migration('1')$$,
 $$SELECT count(*) FROM pggit.migrations, information_schema.columns WHERE applied_at IS NOT NULL AND table_name = 'orders' AND column_name = 'note'$$);
CREATE FUNCTION public.call() RETURNS void LANGUAGE plpgsql AS $$
BEGIN EXECUTE (SELECT statement FROM public.call WHERE name = chaos.var('call')); END $$;
CREATE FUNCTION public.result() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE answer bigint; BEGIN EXECUTE (SELECT result FROM public.call WHERE name = chaos.var('call')) INTO answer; RETURN answer; END $$;

-- chaos:session other
BEGIN;
INSERT INTO pggit.objects (object_type, schema_name, object_name) VALUES ('VIEW', 'public', 'report');
INSERT INTO pggit.branches (name) VALUES ('new');
LOCK TABLE public.orders;
-- chaos:signal ready
-- chaos:wait for terminated
ROLLBACK;
-- chaos:signal ended

-- chaos:session doomed allow 57P01
-- chaos:wait for ready
-- chaos:fault terminate when blocked
SELECT public.call();
-- chaos:signal terminated

-- chaos:session heir
-- chaos:wait for ended
SELECT chaos.assert(public.result() = 0, 'nothing of the doomed call is left');
SELECT public.call();
SELECT chaos.assert(public.result() = 1, 'the heir has done the work');

-- chaos:check
SELECT is((SELECT count(*)::int FROM chaos.history WHERE session = 'doomed' AND sqlstate = '57P01'), 1, 'the doomed client lost its connection');
SELECT is((SELECT count(*)::int FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND pid <> pg_backend_pid() AND relation = 'pggit.objects'::regclass), 0, 'no lock is left');

-- chaos:mutant the doomed client is not terminated
-- chaos:session doomed
-- chaos:wait for ready
-- chaos:signal terminated
SELECT 1;
-- chaos:caught by 'the doomed client lost its connection'
