-- What is written on a data branch is not on main, and what main has is on the branch
-- Reference: pgGit 0.1.3, create_data_branch; git-branch(1)
--
-- A branch with the data of a table is made. One session writes on the branch, one on main. Each sees what was there when
-- the branch was made, and what it wrote itself.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'main has its own rows' the table of the branch inherits from that of main when pggit = shipped
-- chaos:xfail 'the branch has the rows of main and its own' the table of the branch begins empty when pggit = shipped
-- chaos:schedule author.branches owner.writes author.writes

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/data_branch.psql
\endif
CREATE TABLE public.orders (id int PRIMARY KEY, buyer text DEFAULT 'nobody');
INSERT INTO public.orders VALUES (1), (2);

-- chaos:session author
-- chaos:step branches
SELECT pggit.create_data_branch('orders', 'main', 'feature');
-- chaos:step writes
INSERT INTO pggit_branch_feature.orders (id) VALUES (10);

-- chaos:session owner
-- chaos:step writes
INSERT INTO public.orders VALUES (3);

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.branched_tables WHERE branch_name = 'feature'), 1, 'pgGit knows of the branch');
SELECT results_eq('SELECT id FROM public.orders ORDER BY id', ARRAY[1, 2, 3], 'main has its own rows');
SELECT results_eq('SELECT id FROM pggit_branch_feature.orders ORDER BY id', ARRAY[1, 2, 10], 'the branch has the rows of main and its own');

-- chaos:mutant the author writes on main when pggit = repaired
-- chaos:replace 'pggit_branch_feature.orders' with 'public.orders' in author
-- chaos:caught by 'main has its own rows'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'main has its own rows'
