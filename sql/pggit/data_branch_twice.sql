-- Two sessions make the same data branch: there is one, with the rows once
-- Reference: pgGit 0.1.3, create_data_branch; PostgreSQL docs, CREATE SCHEMA IF NOT EXISTS
--
-- The second session waits for the first. It gets an answer that the branch is there, or an error that says so, and
-- not one from a system catalog; the branch is complete.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the second is told that the branch is there' CREATE SCHEMA IF NOT EXISTS does not wait for an uncommitted schema: 23505 in pg_namespace when pggit = shipped
-- chaos:schedule one.begins one.branches two.branches one.ends

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/data_branch.psql
\endif
CREATE TABLE public.orders (id int PRIMARY KEY);
INSERT INTO public.orders VALUES (1), (2);

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step branches
SELECT pggit.create_data_branch('feature', 'main', ARRAY['orders']);
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step branches
-- chaos:allow duplicate_schema duplicate_table duplicate_object unique_violation
SELECT pggit.create_data_branch('feature', 'main', ARRAY['orders']);

-- chaos:check
SELECT results_eq('SELECT id FROM pggit_branch_feature.orders ORDER BY id', ARRAY[1, 2], 'the branch has the rows, once');
SELECT is((SELECT count(*)::int FROM pggit.branched_tables), 1, 'it is recorded once');
SELECT ok((SELECT sqlstate IN ('00000', '42P06', '42P07', '42710') FROM chaos.history WHERE session = 'two'), 'the second is told that the branch is there');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the second is told that the branch is there'
