-- The first branch after the installation can be created
-- Reference: pgGit 0.1.3, create_branch
--
-- Whoever has just installed pgGit creates a branch, while somebody else commits on main.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '23505' the installation gives main the id 1, and the sequence begins with 1 when pggit = shipped
-- chaos:schedule other.commits author.creates

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
SELECT setval('pggit.branches_id_seq', 1);
\endif

-- chaos:session author
-- chaos:step creates
SELECT pggit.create_branch('feature');

-- chaos:session other
-- chaos:step commits
SELECT pggit.create_commit('main', 'the first', 'SELECT 1');

-- chaos:check
SELECT results_eq(
    $$SELECT branch_name, status::text FROM pggit.list_branches() ORDER BY branch_name$$,
    $$VALUES ('feature', 'ACTIVE'), ('main', 'ACTIVE')$$, 'the branch is listed');
SELECT is((SELECT count(*)::int FROM pggit.commits WHERE branch_id = 1), 1, 'the commit is on main');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '23505'
