-- A lock time-out and a cancel end every call, and the call works when nobody is in the way
-- Reference: PostgreSQL docs, lock_timeout and statement_timeout; pgGit 0.1.3, its functions that write
--
-- A backup holds a lock on one of pgGit's tables. The client's call gives up with 55P03, then with 57014, and does its
-- work when the backup has ended: once, and none of the tries has left anything.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix call in create_commit, create_branch, merge_branches, increment_version, ensure_object, apply_migration, create_data_branch, create_temporal_snapshot, alter_table, drop_table

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int PRIMARY KEY);
SELECT pggit.create_branch('feature');
SELECT pggit.ensure_object_with_branch('VIEW', 'public', 'report', NULL, '{}', 'feature');
CREATE TABLE public.later (id int PRIMARY KEY);
INSERT INTO pggit.migrations (version, up_script) VALUES ('1', 'CREATE TABLE public.migrated ()');
CREATE TABLE public.call (name text, relation text, statement text, result text);
INSERT INTO public.call VALUES
('create_commit', 'commits', $$SELECT pggit.create_commit('main', 'one', 'SELECT 1')$$, $$SELECT count(*) FROM pggit.commits$$),
('create_branch', 'branches', $$SELECT pggit.create_branch('new')$$, $$SELECT count(*) FROM pggit.objects WHERE branch_name = 'new' AND full_name = 'public.orders'$$),
('merge_branches', 'objects', $$SELECT pggit.merge_branches('feature', 'main', 'm')$$, $$SELECT count(*) FROM pggit.objects WHERE branch_name = 'main' AND full_name = 'public.report'$$),
('increment_version', 'history', $$SELECT pggit.increment_version((SELECT min(id) FROM pggit.objects), 'ALTER', 'MINOR', 'counted')$$,
 $$SELECT count(*) FROM pggit.history WHERE change_description = 'counted'$$),
('ensure_object', 'objects', $$SELECT pggit.ensure_object('VIEW', 'public', 'other')$$, $$SELECT count(*) FROM pggit.objects WHERE full_name = 'public.other'$$),
('apply_migration', 'migrations', $$SELECT pggit.apply_migration('1')$$, $$SELECT count(*) FROM pggit.migrations WHERE applied_at IS NOT NULL AND to_regclass('public.migrated') IS NOT NULL$$),
('create_data_branch', 'branched_tables', $$SELECT pggit.create_data_branch('orders', 'main', 'data')$$, $$SELECT count(*) FROM pggit.branched_tables$$),
('create_temporal_snapshot', 'temporal_snapshots', $$SELECT * FROM pggit.create_temporal_snapshot('s', 1)$$, $$SELECT count(*) FROM pggit.temporal_snapshots$$),
('alter_table', 'history', $$ALTER TABLE public.later ADD COLUMN note text$$, $$SELECT count(*) FROM pggit.history WHERE change_description ~ 'public.later - Added column.s.: note'$$),
('drop_table', 'objects', $$DROP TABLE public.later$$, $$SELECT count(*) FROM pggit.objects WHERE object_type = 'TABLE' AND full_name = 'public.later' AND NOT is_active$$);
CREATE FUNCTION public.call() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    of_call public.call;
BEGIN
    SELECT * INTO of_call FROM public.call WHERE name = chaos.var('call');
    EXECUTE of_call.statement;
    EXECUTE of_call.result INTO answer;
    RETURN answer;
END $$;

-- chaos:session backup
SELECT relation FROM public.call WHERE name = :'call' \gset
BEGIN;
LOCK TABLE pggit.:relation IN ACCESS EXCLUSIVE MODE;
-- chaos:signal locked
-- chaos:wait for gave_up
COMMIT;
-- chaos:signal ended

-- chaos:session client
-- chaos:wait for locked
SET lock_timeout = '50ms';
-- chaos:expect lock_not_available
SELECT public.call();
SET lock_timeout = 0;
SET statement_timeout = '50ms';
-- chaos:expect query_canceled
SELECT public.call();
SET statement_timeout = 0;
-- chaos:signal gave_up
-- chaos:wait for ended
SELECT public.call() AS result \gset

-- chaos:check
SELECT is((SELECT max(variables->>'result') FROM chaos.acknowledged WHERE session = 'client'), '1', 'the call has done its work, once');

-- chaos:mutant the backup gives way
-- chaos:session backup
-- chaos:signal locked
-- chaos:wait for gave_up
-- chaos:signal ended
SELECT 1;
-- chaos:caught by 'lock_not_available'
