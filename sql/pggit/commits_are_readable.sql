-- The id that create_commit returns leads to the commit
-- Reference: pgGit 0.1.3, create_commit; git-commit(1)
--
-- Whoever commits gets an id, and must be able to read the commit by it: to tag it, to go back to it, to name it as a
-- parent. Two developers commit at the same time; whatever column of the commit an id is in will do.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'every id leads to its commit' create_commit returns a random id that it stores nowhere when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/commit.psql
\endif

-- chaos:session developer x 2 repeat 3
SELECT format('change %s of developer %s', :iteration, :worker) AS message \gset
BEGIN;
SELECT pggit.create_commit('main', :'message', 'SELECT 1') AS commit_id \gset
-- chaos:barrier committed unless blocked
COMMIT;

-- chaos:check
SELECT is(
    (SELECT count(*)::int FROM chaos.acknowledged AS a JOIN pggit.commits AS c ON c.message = a.variables->>'message'
     WHERE a.step = '4' AND strpos(to_jsonb(c)::text, a.variables->>'commit_id') > 0),
    6, 'every id leads to its commit');
SELECT is((SELECT count(*)::int FROM pggit.commits), 6, 'every commit is there');

-- chaos:mutant the id is not stored when pggit = repaired
-- chaos:replace '''commit_id'', v_id' with '''commit_id'', NULL' in setup
-- chaos:caught by 'every id leads to its commit'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'every id leads to its commit'
