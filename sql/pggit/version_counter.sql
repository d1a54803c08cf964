-- Versions that two sessions count up add up
-- Reference: pgGit 0.1.3, increment_version
--
-- The second session waits for the first, and then counts on from its version: no version is lost, none is given twice.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'both increments count' increment_version reads the version and writes it later, without a lock when pggit = shipped
-- chaos:xfail 'no version is given twice' increment_version reads the version and writes it later when pggit = shipped
-- chaos:schedule one.begins one.counts two.counts one.ends

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/version.psql
\endif
CREATE TABLE public.orders (id int);
CREATE FUNCTION public.object_id() RETURNS int STABLE LANGUAGE sql AS $$
    SELECT id FROM pggit.objects WHERE object_type = 'TABLE' AND full_name = 'public.orders' AND branch_name = 'main' $$;
CREATE TABLE public.before AS SELECT version FROM pggit.objects WHERE id = object_id();

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step counts
SELECT pggit.increment_version(object_id(), 'ALTER', 'MINOR', 'of one');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step counts
SELECT pggit.increment_version(object_id(), 'ALTER', 'MINOR', 'of two');

-- chaos:check
SELECT is((SELECT count(*)::int FROM public.before WHERE version > 0), 1, 'the table has a version');
SELECT is((SELECT version FROM pggit.objects WHERE id = object_id()), (SELECT version + 2 FROM public.before), 'both increments count');
SELECT results_eq(
    $$SELECT new_version FROM pggit.history WHERE object_id = object_id() AND change_description ~ '^of ' ORDER BY id$$,
    $$SELECT version + n FROM public.before, generate_series(1, 2) AS n ORDER BY n$$, 'no version is given twice');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'both increments count'
