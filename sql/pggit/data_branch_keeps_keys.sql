-- A data branch has the keys, defaults and constraints of the table
-- Reference: pgGit 0.1.3, create_data_branch with an array of tables; PostgreSQL docs, CREATE TABLE … LIKE
--
-- What main refuses, the branch must refuse, or it holds rows that can never be merged. Two clients write the same key.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '23505' CREATE TABLE AS copies rows, and neither keys nor constraints when pggit = shipped
-- chaos:xfail '23514' CREATE TABLE AS copies rows, and neither keys nor constraints when pggit = shipped
-- chaos:xfail 'the default is that of main' CREATE TABLE AS copies no defaults when pggit = shipped
-- chaos:schedule author.branches one.writes two.writes two.errs

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/data_branch.psql
\endif
CREATE TABLE public.orders (id int PRIMARY KEY, amount int DEFAULT 7 CHECK (amount > 0));
INSERT INTO public.orders VALUES (1, 1);

-- chaos:session author
-- chaos:step branches
SELECT pggit.create_data_branch('feature', 'main', ARRAY['orders']);

-- chaos:session one
-- chaos:step writes
INSERT INTO pggit_branch_feature.orders (id) VALUES (2);

-- chaos:session two
-- chaos:step writes
-- chaos:expect 23505
INSERT INTO pggit_branch_feature.orders (id) VALUES (2);
-- chaos:step errs
-- chaos:expect 23514
INSERT INTO pggit_branch_feature.orders VALUES (3, -1);

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.branched_tables WHERE branch_name = 'feature'), 1, 'pgGit knows of the branch');
SELECT is((SELECT max(amount) FROM pggit_branch_feature.orders WHERE id = 2), 7, 'the default is that of main');
SELECT is((SELECT min(amount) FROM pggit_branch_feature.orders WHERE id = 1), 1, 'the rows of main are there');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '23505'
