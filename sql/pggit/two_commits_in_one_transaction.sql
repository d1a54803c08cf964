-- Two commits with the same message in one transaction are two commits
-- Reference: pgGit 0.1.3, create_commit; git-commit(1), --allow-empty
--
-- A script commits twice with the same words in one transaction, while another session commits with these words too.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '23505' the hash is made of message, SQL and the time at which the transaction began when pggit = shipped
-- chaos:schedule script.begins script.commits other.commits script.commits_again script.ends

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/commit.psql
\endif

-- chaos:session script
-- chaos:step begins
BEGIN;
-- chaos:step commits
SELECT pggit.create_commit('main', 'checkpoint', 'SELECT 1');
-- chaos:step commits_again
SELECT pggit.create_commit('main', 'checkpoint', 'SELECT 1');
-- chaos:step ends
COMMIT;

-- chaos:session other
-- chaos:step commits
SELECT pggit.create_commit('main', 'checkpoint', 'SELECT 1');

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.commits WHERE message = 'checkpoint'), 3, 'there are three commits');
SELECT is((SELECT count(DISTINCT hash)::int FROM pggit.commits), 3, 'with three hashes');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '23505'
