-- The first call of every public function does its work
-- Reference: pgGit 0.1.3, its functions; each assertion is named after one
--
-- Whoever has just installed pgGit calls each function once, on a table and a branch of their own. Each must come back
-- without an error and leave what its name promises: what attempt() returns is its second query, asked after the call.

-- chaos:tags slow
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'delete_branch' it deletes from a table pggit.refs that is never created when pggit = shipped
-- chaos:xfail 'begin_migration' it returns a timestamptz as a timestamp when pggit = shipped
-- chaos:xfail 'end_migration' it returns a timestamptz as a timestamp when pggit = shipped
-- chaos:xfail 'cleanup_old_data' it asks for the size of a table pggit.trigger_errors that is never created when pggit = shipped
-- chaos:xfail 'run_maintenance' its column job_name is ambiguous when pggit = shipped
-- chaos:xfail 'detect_dependencies_batch' it inserts into a column dependent_object_id that does not exist when pggit = shipped
-- chaos:xfail 'update_branch_metrics' it reads a column commit_date that does not exist when pggit = shipped
-- chaos:xfail 'generate_pruning_recommendations' it reads a column commit_date that does not exist when pggit = shipped
-- chaos:xfail 'track_cqrs_change' it reads a table pggit.deployment_state that is never created when pggit = shipped
-- chaos:xfail 'refresh_query_side' it calls pggit.pause_tracking, which is never created when pggit = shipped
-- chaos:xfail 'get_version' it returns a row for each branch, without saying which when pggit = shipped
-- chaos:xfail 'checkout_branch' it only returns a message when pggit = shipped
-- chaos:xfail 'cleanup_merged_branches' a merged branch is never marked, and it sees only branches with metrics when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/delete_branch.psql
\ir repair/first_calls.psql
\endif
-- the sequence of branches collides once: first_branch.sql is about that
SELECT setval('pggit.branches_id_seq', 1);
CREATE FUNCTION public.attempt(call text, result text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE call;
    EXECUTE result INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ': ' || sqlerrm;
END $$;
CREATE TABLE public.orders (id int PRIMARY KEY, email text);

-- chaos:session owner
-- chaos:step commits
SELECT pggit.create_commit('main', 'the first', 'SELECT 1');

-- chaos:check
SELECT is(attempt($$SELECT pggit.create_branch('feature')$$,
    $$SELECT count(*) FROM pggit.objects WHERE branch_name = 'feature' AND full_name = 'public.orders'$$), '1', 'create_branch');
SELECT is(attempt($$SELECT pggit.create_commit('feature', 'second', 'SELECT 2')$$,
    $$SELECT count(*) FROM pggit.commits AS c JOIN pggit.branches AS b ON b.id = branch_id WHERE b.name = 'feature'$$), '1', 'create_commit');
SELECT is(attempt($$SELECT pggit.checkout_branch('feature')$$,
    $$SELECT current_setting('pggit.current_branch', true)$$), 'feature', 'checkout_branch');
SELECT is(attempt($$SELECT pggit.switch_branch('main')$$,
    $$SELECT current_setting('pggit.current_branch', true)$$), 'main', 'switch_branch');
SELECT is(attempt($$SELECT pggit.ensure_object('VIEW', 'public', 'report')$$,
    $$SELECT count(*) FROM pggit.objects WHERE full_name = 'public.report' AND branch_name = 'main'$$), '1', 'ensure_object');
SELECT is(attempt($$SELECT pggit.increment_version(id, 'ALTER', 'MAJOR', 'by hand') FROM pggit.objects WHERE full_name = 'public.report'$$,
    $$SELECT version_major FROM pggit.objects WHERE full_name = 'public.report'$$), '2', 'increment_version');
SELECT is(attempt('SELECT', $$SELECT count(*) FROM pggit.get_version('public.orders')$$), '1', 'get_version');
SELECT is(attempt('SELECT', $$SELECT count(*) FROM pggit.get_history('public.orders') WHERE change_type = 'CREATE'$$), '1', 'get_history');
SELECT is(attempt('SELECT', $$SELECT length(pggit.compute_ddl_hash('TABLE', 'public', 'orders'))$$), '64', 'compute_ddl_hash');
SELECT is(attempt($$SELECT pggit.update_all_hashes()$$,
    $$SELECT count(*) FROM pggit.objects WHERE full_name = 'public.orders' AND branch_name = 'main' AND length(ddl_hash) = 64$$), '1', 'update_all_hashes');
SELECT is(attempt('SELECT', $$SELECT count(*) FROM pggit.detect_changes_by_hash() WHERE full_name = 'public.orders' AND NOT has_changed$$), '2', 'detect_changes_by_hash');
SELECT is(attempt('SELECT', $$SELECT pggit.generate_migration('none') || count(*) FROM pggit.objects WHERE full_name = 'public.orders'$$),
    '-- No changes detected2', 'generate_migration');
SELECT is(attempt($$INSERT INTO pggit.migrations (version, up_script) VALUES ('1', 'ALTER TABLE public.orders ADD COLUMN note text')$$,
    $$SELECT count(*) FROM pggit.pending_migrations WHERE version = '1'$$), '1', 'pending_migrations');
SELECT is(attempt($$SELECT pggit.apply_migration('1')$$,
    $$SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'note'$$), '1', 'apply_migration');
SELECT is(attempt($$SELECT pggit.create_data_branch('orders', 'main', 'feature')$$,
    $$SELECT count(*) FROM pg_class WHERE relnamespace = 'pggit_branch_feature'::regnamespace AND relkind = 'r'$$), '1', 'create_data_branch');
SELECT is(attempt($$SELECT * FROM pggit.create_temporal_snapshot('before', 1)$$,
    $$SELECT count(*) FROM pggit.list_temporal_snapshots() WHERE snapshot_name = 'before'$$), '1', 'create_temporal_snapshot');
SELECT is(attempt($$SELECT pggit.record_temporal_change(snapshot_id, 'public', 'orders', 'INSERT', '1', NULL, '{"id": 1}')
                    FROM pggit.temporal_snapshots$$,
    $$SELECT new_data->>'id' FROM pggit.temporal_changelog$$), '1', 'record_temporal_change');
SELECT is(attempt($$SELECT pggit.refresh_cache()$$, $$SELECT count(*) FROM pggit.get_version_fast('public.report')$$), '1', 'refresh_cache');
SELECT is(attempt($$SELECT pggit.merge_branches('feature', 'main', 'merged')$$,
    $$SELECT count(*) FROM pggit.objects WHERE full_name = 'public.orders' AND branch_name = 'main'$$), '1', 'merge_branches');
SELECT is(attempt($$SELECT pggit.delete_branch('feature', true)$$,
    $$SELECT string_agg(name, ' ') FROM pggit.branches$$), 'main', 'delete_branch');
SELECT is(attempt($$SELECT pggit.create_branch('old'); SELECT pggit.merge_branches('old', 'main', 'merged');
                    SELECT pggit.cleanup_merged_branches(false)$$,
    $$SELECT count(*) FROM pggit.branches WHERE name = 'old'$$), '0', 'cleanup_merged_branches');
SELECT is(attempt($$SELECT pggit.begin_migration('one', '2')$$, $$SELECT count(*) FROM pggit.migration_targets WHERE target_version = '2'$$), '1', 'begin_migration');
SELECT is(attempt('SELECT', $$SELECT status FROM pggit.end_migration(1)$$), 'COMPLETED', 'end_migration');
SELECT is(attempt($$SELECT pggit.cleanup_old_data()$$, $$SELECT count(*) FROM pggit.retention_policies WHERE table_name = 'history' AND last_cleanup IS NOT NULL$$),
    '1', 'cleanup_old_data');
SELECT is(attempt($$SELECT pggit.run_maintenance()$$, $$SELECT count(*) > 0 FROM pggit.maintenance_jobs WHERE last_run IS NOT NULL$$), 'true', 'run_maintenance');
SELECT is(attempt($$SELECT pggit.detect_dependencies_batch()$$, $$SELECT count(*) > 0 FROM pggit.objects$$), 'true', 'detect_dependencies_batch');
SELECT is(attempt($$SELECT pggit.update_branch_metrics()$$, $$SELECT count(*) FROM pggit.branch_size_metrics WHERE branch_name = 'main'$$), '1', 'update_branch_metrics');
SELECT is(attempt($$SELECT pggit.generate_pruning_recommendations()$$, $$SELECT count(*) > 0 FROM pggit.objects$$), 'true', 'generate_pruning_recommendations');
SELECT is(attempt($$SELECT pggit.track_cqrs_change(ROW(ARRAY['CREATE TABLE public.command ()'], NULL, 'one', '1')::pggit.cqrs_change)$$,
    $$SELECT to_regclass('public.command')$$), 'command', 'track_cqrs_change');
SELECT is(attempt($$CREATE MATERIALIZED VIEW public.side AS SELECT now() AS at; SELECT pggit.refresh_query_side('public.side')$$,
    $$SELECT count(*) FROM public.side$$), '1', 'refresh_query_side');

-- chaos:mutant a function is lost
ALTER FUNCTION pggit.compute_ddl_hash RENAME TO compute_hash;
-- chaos:caught by 'compute_ddl_hash'

-- chaos:mutant the table is dropped before
DROP TABLE public.orders;
-- chaos:caught by 'create_branch'
