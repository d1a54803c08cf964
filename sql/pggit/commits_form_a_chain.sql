-- The commits of a branch form one chain
-- Reference: pgGit 0.1.3, create_commit; git-commit(1), "parent"
--
-- Each commit names the one before it. Two developers commit on main at the same time: one commit has no parent, every
-- other has one, no two have the same, and the branch's head is the last of them.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'each commit but the first has a parent' create_commit writes no parent when pggit = shipped
-- chaos:xfail 'the head of the branch is the last commit' create_commit does not move the head when pggit = shipped
-- chaos:schedule one.begins two.begins one.commits two.commits one.ends two.ends

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/commit.psql
\endif
SELECT pggit.create_commit('main', 'the first', 'SELECT 0');

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step commits
SELECT pggit.create_commit('main', 'of one', 'SELECT 1');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step begins
BEGIN;
-- chaos:step commits
SELECT pggit.create_commit('main', 'of two', 'SELECT 2');
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.commits), 3, 'every commit is there');
SELECT is(
    (SELECT count(DISTINCT c.parent_commit_hash)::int FROM pggit.commits AS c JOIN pggit.commits AS p ON p.hash = c.parent_commit_hash),
    2, 'each commit but the first has a parent');
SELECT is(
    (SELECT c.message FROM pggit.branches AS b JOIN pggit.commits AS c ON c.hash = b.head_commit_hash WHERE b.name = 'main'),
    'of two', 'the head of the branch is the last commit');

-- chaos:mutant no parent is written when pggit = repaired
-- chaos:replace 'v_branch.head_commit_hash, p_message' with 'NULL, p_message' in setup
-- chaos:caught by 'each commit but the first has a parent'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'each commit but the first has a parent'
