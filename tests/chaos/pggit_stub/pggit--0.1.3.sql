-- pgGit's functions and tables as sql/pggit/ uses them, with plausible answers, that store nothing: for each row that
-- anybody writes, a trigger answers that there is none.
CREATE TYPE pggit.object_type AS ENUM ('SCHEMA', 'TABLE', 'COLUMN', 'INDEX', 'VIEW', 'MATERIALIZED_VIEW', 'FUNCTION', 'SEQUENCE');
CREATE TYPE pggit.change_type AS ENUM ('CREATE', 'ALTER', 'DROP');
CREATE TYPE pggit.change_severity AS ENUM ('MAJOR', 'MINOR', 'PATCH');
CREATE TYPE pggit.branch_status AS ENUM ('ACTIVE', 'MERGED', 'DELETED', 'CONFLICTED');
CREATE TYPE pggit.cqrs_change AS (command_operations text[], query_operations text[], description text, version text);

CREATE TABLE pggit.branches (
    id serial PRIMARY KEY, name text CONSTRAINT branches_name_key UNIQUE, parent_branch_id int, head_commit_hash text,
    status pggit.branch_status DEFAULT 'ACTIVE', created_at timestamp DEFAULT now());
CREATE TABLE pggit.commits (
    id serial PRIMARY KEY, hash text CONSTRAINT commits_hash_key UNIQUE DEFAULT md5(random()::text), branch_id int, parent_commit_hash text,
    message text, author text DEFAULT current_user, committed_at timestamp DEFAULT now(), tree_hash text, metadata jsonb DEFAULT '{}');
CREATE TABLE pggit.objects (
    id serial PRIMARY KEY, object_type pggit.object_type, schema_name text, object_name text,
    full_name text GENERATED ALWAYS AS (schema_name || '.' || object_name) STORED, parent_id int, content_hash text, ddl_normalized text,
    ddl_hash text, branch_id int DEFAULT 1, branch_name text DEFAULT 'main', version int DEFAULT 1, version_major int DEFAULT 1,
    version_minor int DEFAULT 0, version_patch int DEFAULT 0, metadata jsonb DEFAULT '{}', is_active boolean DEFAULT true,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
    CONSTRAINT objects_object_type_schema_name_object_name_branch_name_key UNIQUE (object_type, schema_name, object_name, branch_name));
CREATE INDEX idx_objects_type ON pggit.objects (object_type);
CREATE INDEX idx_objects_active ON pggit.objects (is_active);
CREATE INDEX idx_objects_branch ON pggit.objects (branch_name);
CREATE TABLE pggit.history (
    id serial PRIMARY KEY, object_id int, change_type pggit.change_type, change_severity pggit.change_severity, old_version int,
    new_version int, change_description text, sql_executed text, created_at timestamp DEFAULT now(), created_by text DEFAULT current_user);
CREATE TABLE pggit.history_archive (LIKE pggit.history);
CREATE TABLE pggit.migrations (id serial PRIMARY KEY, version text UNIQUE, description text, up_script text, applied_at timestamp, applied_by text);
CREATE VIEW pggit.pending_migrations AS SELECT version, description FROM pggit.migrations WHERE applied_at IS NULL;
CREATE TABLE pggit.migration_targets (id serial PRIMARY KEY, target_version text, compatibility_level text);
CREATE TABLE pggit.merge_conflicts (
    id serial PRIMARY KEY, merge_id text, branch_a text, branch_b text, base_branch text, conflict_object text, conflict_type text,
    resolution_strategy text, resolved_at timestamp);
CREATE TABLE pggit.data_branches (id serial PRIMARY KEY, table_schema text, table_name text, branch_id int, parent_table text);
CREATE TABLE pggit.branched_tables (
    id serial PRIMARY KEY, branch_name text, source_schema text, source_table text, branch_schema text, branch_table text, uses_cow boolean);
CREATE TABLE pggit.retention_policies (table_name text, retention_period interval, is_active boolean DEFAULT true, last_cleanup timestamp);
CREATE TABLE pggit.maintenance_jobs (
    job_name text, is_active boolean, last_run timestamp, next_run timestamp, run_interval interval, last_status text);
CREATE TABLE pggit.dependencies (dependent_id int, depends_on_id int, dependency_type text);
CREATE TABLE pggit.branch_size_metrics (
    branch_name text, branch_status pggit.branch_status, total_size_bytes bigint DEFAULT 0, object_count int DEFAULT 0, commit_count int DEFAULT 0);
CREATE TABLE pggit.temporal_snapshots (snapshot_id uuid DEFAULT gen_random_uuid(), snapshot_name text);
CREATE TABLE pggit.temporal_changelog (snapshot_id uuid, new_data jsonb);

CREATE FUNCTION pggit.store_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'pggit'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('CREATE TRIGGER store_nothing BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION pggit.store_nothing()', relation);
    END LOOP;
END $$;

CREATE FUNCTION pggit.handle_ddl_command() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION pggit.handle_sql_drop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER pggit_ddl_trigger ON ddl_command_end EXECUTE FUNCTION pggit.handle_ddl_command();
CREATE EVENT TRIGGER pggit_drop_trigger ON sql_drop EXECUTE FUNCTION pggit.handle_sql_drop();

CREATE FUNCTION pggit.create_branch(p_branch_name text, p_parent_branch text DEFAULT 'main', p_copy_data boolean DEFAULT false)
RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION pggit.checkout_branch(p_branch_name text) RETURNS text LANGUAGE sql AS $$ SELECT 'Checked out branch: ' || $1 $$;
CREATE FUNCTION pggit.switch_branch(p_branch_name text) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION pggit.create_commit(p_branch_name text, p_message text, p_sql_content text, p_parent_ids uuid[] DEFAULT NULL)
RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';
CREATE FUNCTION pggit.list_branches(p_status pggit.branch_status DEFAULT NULL, p_inactive_days int DEFAULT NULL)
RETURNS TABLE (branch_name text, status pggit.branch_status, commit_count int) LANGUAGE sql AS $$ SELECT 'main', 'ACTIVE'::pggit.branch_status, 1 $$;
CREATE FUNCTION pggit.merge_branches(p_source_branch text, p_target_branch text, p_merge_message text DEFAULT 'Merge branch')
RETURNS text LANGUAGE sql AS $$ SELECT 'MERGE_SUCCESS:' || gen_random_uuid() $$;
CREATE FUNCTION pggit.merge_branches(p_source_branch_id int, p_target_branch_id int, p_message text)
RETURNS TABLE (merge_id uuid, status text, conflicts_detected int, rows_merged int) LANGUAGE sql AS $$ SELECT gen_random_uuid(), 'SUCCESS', 0, 0 $$;
CREATE FUNCTION pggit.resolve_conflict(p_merge_id text, p_conflict_id int, p_resolution_strategy text DEFAULT 'MANUAL')
RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pggit.get_version(p_object_name text)
RETURNS TABLE (object_name text, schema_name text, version int, version_string text, created_at timestamp)
LANGUAGE sql AS $$ SELECT split_part($1, '.', 2), split_part($1, '.', 1), 1, '1.0.0', now()::timestamp $$;
CREATE FUNCTION pggit.get_version_fast(p_object_name text) RETURNS TABLE (version int, version_string text) LANGUAGE sql AS $$ SELECT 1, '1.0.0' $$;
CREATE FUNCTION pggit.get_history(p_object_name text, p_limit int DEFAULT 10)
RETURNS TABLE (version int, change_type pggit.change_type, change_description text, created_at timestamp, created_by text)
LANGUAGE sql AS $$ SELECT 1, 'CREATE'::pggit.change_type, 'CREATE TABLE ' || $1, now()::timestamp, current_user::text $$;
CREATE FUNCTION pggit.ensure_object(
    p_object_type pggit.object_type, p_schema_name text, p_object_name text, p_parent_name text DEFAULT NULL, p_metadata jsonb DEFAULT '{}')
RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION pggit.ensure_object_with_branch(
    p_object_type pggit.object_type, p_schema_name text, p_object_name text, p_parent_name text DEFAULT NULL, p_metadata jsonb DEFAULT '{}',
    p_branch_name text DEFAULT 'main')
RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION pggit.increment_version(
    p_object_id int, p_change_type pggit.change_type, p_change_severity pggit.change_severity, p_description text DEFAULT NULL,
    p_new_metadata jsonb DEFAULT NULL, p_sql_executed text DEFAULT NULL)
RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION pggit.generate_migration(p_version text DEFAULT NULL, p_description text DEFAULT NULL, p_schema_name text DEFAULT 'public')
RETURNS text LANGUAGE sql AS $$ SELECT '-- No changes detected' $$;
CREATE FUNCTION pggit.apply_migration(p_version text) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION pggit.begin_migration(p_migration_name text, p_target_version text)
RETURNS TABLE (migration_id int, status text, started_at timestamp) LANGUAGE sql AS $$ SELECT 1, 'STARTED', now()::timestamp $$;
CREATE FUNCTION pggit.end_migration(p_migration_id int, p_success boolean DEFAULT true)
RETURNS TABLE (migration_id int, status text, completed_at timestamp) LANGUAGE sql AS $$ SELECT $1, 'COMPLETED', now()::timestamp $$;
CREATE FUNCTION pggit.create_data_branch(p_table_name text, p_source_branch text, p_branch_name text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION pggit.create_data_branch(p_branch_name text, p_source_branch text, p_tables text[], p_use_cow boolean DEFAULT true)
RETURNS int LANGUAGE sql AS 'SELECT cardinality($3)';
CREATE FUNCTION pggit.setup_cow_tables(p_branch_id int, p_branch_name text) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION pggit.create_temporal_snapshot(snapshot_name text, branch_id int DEFAULT 1, snapshot_description text DEFAULT NULL)
RETURNS TABLE (snapshot_id uuid, name text, created_at timestamptz) LANGUAGE sql AS 'SELECT gen_random_uuid(), $1, now()';
CREATE FUNCTION pggit.list_temporal_snapshots() RETURNS TABLE (snapshot_id uuid, snapshot_name text)
LANGUAGE sql AS 'SELECT snapshot_id, snapshot_name FROM pggit.temporal_snapshots';
CREATE FUNCTION pggit.record_temporal_change(
    p_snapshot_id uuid, p_table_schema text, p_table_name text, p_operation text, p_row_id text, p_old_data jsonb, p_new_data jsonb)
RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION pggit.compute_ddl_hash(p_object_type pggit.object_type, p_schema_name text, p_object_name text)
RETURNS text LANGUAGE sql AS $$ SELECT encode(sha256(convert_to($2 || $3, 'UTF8')), 'hex') $$;
CREATE FUNCTION pggit.update_all_hashes() RETURNS TABLE (updated_count int, error_count int) LANGUAGE sql AS 'SELECT 1, 0';
CREATE FUNCTION pggit.detect_changes_by_hash() RETURNS TABLE (full_name text, has_changed boolean)
LANGUAGE sql AS 'SELECT full_name, false FROM pggit.objects';
CREATE FUNCTION pggit.detect_schema_changes(p_schema_name text DEFAULT 'public')
RETURNS TABLE (object_type pggit.object_type, object_name text, change_type pggit.change_type)
LANGUAGE sql AS 'SELECT object_type, object_name, NULL::pggit.change_type FROM pggit.objects';
CREATE FUNCTION pggit.delete_branch(p_branch_name text, p_force boolean DEFAULT false)
RETURNS TABLE (objects_deleted int, space_freed_bytes bigint) LANGUAGE sql AS 'SELECT 1, 0::bigint';
CREATE FUNCTION pggit.cleanup_merged_branches(p_dry_run boolean DEFAULT true)
RETURNS TABLE (branch_name text, space_freed_mb numeric, action_taken text) LANGUAGE sql AS $$ SELECT 'old', 0::numeric, 'DELETED' $$;
CREATE FUNCTION pggit.cleanup_old_data() RETURNS TABLE (table_name text, rows_archived int, rows_deleted int, space_freed text)
LANGUAGE sql AS $$ SELECT 'history', 0, 0, '0 bytes' $$;
CREATE FUNCTION pggit.run_maintenance() RETURNS TABLE (job_name text, status text, duration interval, details text)
LANGUAGE sql AS $$ SELECT 'all', 'completed', interval '0', '' $$;
CREATE FUNCTION pggit.detect_dependencies_batch() RETURNS TABLE (dependency_type text, dependencies_found int, execution_time_ms numeric)
LANGUAGE sql AS $$ SELECT 'view', 0, 0::numeric $$;
CREATE FUNCTION pggit.update_branch_metrics() RETURNS TABLE (branch_name text, size_bytes bigint, object_count int)
LANGUAGE sql AS $$ SELECT 'main', 0::bigint, 1 $$;
CREATE FUNCTION pggit.generate_pruning_recommendations(p_size_threshold_mb int DEFAULT 50, p_inactive_days int DEFAULT 90)
RETURNS TABLE (branch_name text, recommendation text, reason text, space_savings_mb numeric, priority int)
LANGUAGE sql AS $$ SELECT 'old', 'DELETE', '', 0::numeric, 1 $$;
CREATE FUNCTION pggit.track_cqrs_change(change pggit.cqrs_change, atomic boolean DEFAULT true) RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';
CREATE FUNCTION pggit.refresh_query_side(materialized_view_name text, skip_tracking boolean DEFAULT true) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION pggit.refresh_cache() RETURNS void LANGUAGE sql AS 'SELECT';
