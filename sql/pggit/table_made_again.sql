-- A table that is dropped and created again is there, and its history goes on
-- Reference: pgGit 0.1.3, its event triggers; git-log(1)
--
-- A migration drops a table and creates it anew, while another session changes a table of its own.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the table has a version' the row of the object that was dropped is found, and stays inactive when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/tracking.psql
\endif
CREATE TABLE public.orders (id int);
CREATE TABLE public.other (id int);

-- chaos:session migration
BEGIN;
DROP TABLE public.orders;
CREATE TABLE public.orders (id bigint, email text);
-- chaos:barrier changed unless blocked
COMMIT;

-- chaos:session other
BEGIN;
ALTER TABLE public.other ADD COLUMN note text;
-- chaos:barrier changed unless blocked
COMMIT;

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.get_version('public.orders')), 1, 'the table has a version');
SELECT cmp_ok((SELECT count(*)::int FROM pggit.get_history('public.orders')), '>=', 3, 'its history says that it was created, dropped and created');
SELECT is((SELECT count(*)::int FROM pggit.objects WHERE full_name = 'public.orders.email' AND is_active), 1, 'its new column is there');

-- chaos:mutant it is not created again when pggit = repaired
-- chaos:replace 'CREATE TABLE public.orders (id bigint, email text)' with '' in migration
-- chaos:caught by 'its new column is there'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the table has a version'
