-- What was changed while tracking was off is found when it is on again
-- Reference: PostgreSQL docs, ALTER EVENT TRIGGER; pgGit 0.1.3, detect_changes_by_hash, generate_migration
--
-- The owner switches the event triggers off, as for a restore, and changes a table; another session changes a second one
-- meanwhile. With tracking on again, pgGit says which tables differ, and goes on from what is there.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule owner.switches_off other.alters owner.switches_on other.alters_again

-- chaos:setup
CREATE TABLE public.orders (id int);
CREATE TABLE public.customer (id int);
CREATE TABLE public.item (id int);
CREATE TABLE public.report (full_name text);
SELECT pggit.update_all_hashes();

-- chaos:session owner
-- chaos:step switches_off
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
ALTER TABLE public.orders ADD COLUMN unseen text;
-- chaos:step switches_on
ALTER EVENT TRIGGER pggit_ddl_trigger ENABLE;
INSERT INTO public.report SELECT full_name FROM pggit.detect_changes_by_hash() WHERE has_changed AND full_name ~ '^public';
SELECT pggit.generate_migration('drift');

-- chaos:session other
-- chaos:step alters
ALTER TABLE public.customer ADD COLUMN unseen text;
-- chaos:step alters_again
ALTER TABLE public.item ADD COLUMN seen text;

-- chaos:check
SELECT results_eq('SELECT full_name FROM public.report ORDER BY 1', ARRAY['public.customer', 'public.orders'], 'both tables differ, and no other');
SELECT bag_eq(
    $$SELECT regexp_split_to_table(up_script, E'\n') FROM pggit.migrations WHERE version = 'drift'$$,
    $$VALUES ('ALTER TABLE public.orders ADD COLUMN unseen text;'), ('ALTER TABLE public.customer ADD COLUMN unseen text;')$$, 'a migration has what was changed');
SELECT results_eq(
    $$SELECT o.object_name, count(*)::int FROM pggit.history AS h JOIN pggit.objects AS o ON o.id = object_id
      WHERE change_type = 'ALTER' AND o.schema_name = 'public' GROUP BY 1$$, $$VALUES ('item', 1)$$, 'only what was done afterwards is in the history');

-- chaos:mutant tracking was never off
-- chaos:replace 'ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE' with 'SELECT 1' in owner
-- chaos:caught by 'only what was done afterwards is in the history'

-- chaos:mutant tracking is never on again
-- chaos:replace 'ALTER EVENT TRIGGER pggit_ddl_trigger ENABLE' with 'SELECT 1' in owner
-- chaos:caught by 'only what was done afterwards is in the history'
