-- A long-running reader holds back vacuum for as long as it runs, and no longer
-- Reference: PostgreSQL docs, "Routine Vacuuming"; pgGit 0.1.3, pggit.objects
--
-- A report reads pgGit's tables in a long transaction while a migration changes a table forty times; each change writes
-- the row of the table anew. DDL does not wait for the report, the report sees what it saw, and when it has ended VACUUM
-- removes every old version.

-- chaos:tags concurrent slow
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, server >= 15
-- chaos:alone
-- chaos:schedule report.begins migration.alters report.reads migration.vacuums report.ends migration.vacuums_again

-- chaos:setup
CREATE TABLE public.orders (id int);
CREATE FUNCTION public.dead() RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_stat_force_next_flush(); SELECT pg_stat_clear_snapshot();
    SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'pggit.objects'::regclass $$;

-- chaos:session report
-- chaos:step begins
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT version AS before FROM pggit.get_version('public.orders') \gset
-- chaos:step reads
SELECT chaos.assert(version = :before, 'the report sees what it saw') FROM pggit.get_version('public.orders');
-- chaos:step ends
COMMIT;

-- chaos:session migration
-- chaos:step alters
SELECT format('ALTER TABLE public.orders ADD COLUMN n%s int', n) FROM generate_series(1, 40) AS n \gexec
-- chaos:step vacuums
VACUUM pggit.objects;
SELECT chaos.assert(public.dead() >= 30, 'vacuum is held back');
-- chaos:step vacuums_again
VACUUM pggit.objects;
SELECT chaos.assert(public.dead() = 0, 'then it removes every old version');

-- chaos:check
SELECT is((SELECT version FROM pggit.get_version('public.orders')), 42, 'every change made a version');

-- chaos:mutant the report ends at once
-- chaos:replace 'BEGIN ISOLATION LEVEL REPEATABLE READ' with 'SELECT 1' in report
-- chaos:caught by 'vacuum is held back'

-- chaos:mutant the report goes on for longer
-- chaos:session report
-- chaos:step begins
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT version AS before FROM pggit.get_version('public.orders') \gset
-- chaos:step reads
SELECT 1;
-- chaos:step ends
SELECT 2;
-- chaos:caught by 'then it removes every old version'
-- chaos:caught by 'leak'
