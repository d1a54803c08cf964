-- Two sessions change the same table
-- Reference: pgGit 0.1.3, its event triggers
--
-- The second ALTER TABLE waits for the first. Each makes one version, the last version has both columns, and the history
-- says who added which.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule one.begins one.adds two.adds one.ends

-- chaos:setup
CREATE TABLE public.orders (id int);
CREATE TABLE public.before AS SELECT id, version FROM pggit.objects WHERE object_type = 'TABLE' AND full_name = 'public.orders';

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step adds
ALTER TABLE public.orders ADD COLUMN of_one text;
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step adds
ALTER TABLE public.orders ADD COLUMN of_two text;

-- chaos:check
SELECT is((SELECT o.version FROM pggit.objects AS o JOIN public.before USING (id)), (SELECT version + 2 FROM public.before), 'there are two more versions');
SELECT results_eq(
    $$SELECT new_version, substring(sql_executed FROM 'of_...') FROM pggit.history JOIN public.before ON object_id = before.id
      WHERE change_type = 'ALTER' ORDER BY history.id$$,
    $$SELECT version + n, CASE n WHEN 1 THEN 'of_one' ELSE 'of_two' END FROM public.before, generate_series(1, 2) AS n ORDER BY n$$,
    'each ALTER made one of them');
SELECT bag_eq(
    $$SELECT split_part(object_name, '.', 2) FROM pggit.objects WHERE object_type = 'COLUMN' AND object_name ~ '^orders\.' AND is_active$$,
    $$SELECT column_name::text FROM information_schema.columns WHERE table_name = 'orders' AND table_schema = 'public'$$,
    'its columns are those that the table has');

-- chaos:mutant the second table is another
CREATE TABLE public.other (id int);
-- chaos:replace 'public.orders ADD COLUMN of_two' with 'public.other ADD COLUMN of_two' in two
-- chaos:caught by 'there are two more versions'

-- chaos:mutant nobody tracks
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
-- chaos:caught by 'each ALTER made one of them'
-- chaos:caught by 'its columns are those that the table has'
