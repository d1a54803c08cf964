-- Two first commits on a new branch at the same time
-- Reference: pgGit 0.1.3, create_commit: a branch that does not exist is created
--
-- Both developers commit on a branch that nobody has created. The second waits for the first; when the first has ended,
-- the branch is there, and the second commit belongs on it.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '23505' create_commit looks for the branch and then inserts it when pggit = shipped
-- chaos:schedule one.begins one.commits two.commits one.ends

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/commit.psql
\endif

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step commits
SELECT pggit.create_commit('feature', 'of one', 'SELECT 1');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step commits
SELECT pggit.create_commit('feature', 'of two', 'SELECT 2');

-- chaos:check
SELECT results_eq(
    $$SELECT c.message FROM pggit.commits AS c JOIN pggit.branches AS b ON b.id = c.branch_id WHERE b.name = 'feature' ORDER BY 1$$,
    ARRAY['of one', 'of two'], 'both commits are on the branch');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '23505'
