-- Commits on several branches stay on their branches
-- Reference: pgGit 0.1.3, create_branch, create_commit; git-branch(1)
--
-- Three developers work at the same time, each on a branch of their own. What one commits is on that branch only.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3

-- chaos:setup
-- main has taken the first id: first_branch.sql shows what happens without this
SELECT setval('pggit.branches_id_seq', 1);
SELECT pggit.create_branch('feature-' || n) FROM generate_series(1, 3) AS n;

-- chaos:session developer x 3 repeat 4
BEGIN;
SELECT pggit.create_commit('feature-' || :worker, format('change %s of developer %s', :iteration, :worker), 'SELECT 1');
-- chaos:barrier committed unless blocked
COMMIT;

-- chaos:check
SELECT results_eq(
    $$SELECT b.name, array_agg(DISTINCT right(c.message, 1)), count(*)::int
      FROM pggit.commits AS c JOIN pggit.branches AS b ON b.id = c.branch_id GROUP BY b.name ORDER BY b.name$$,
    $$VALUES ('feature-1', ARRAY['1'], 4), ('feature-2', ARRAY['2'], 4), ('feature-3', ARRAY['3'], 4)$$,
    'each branch has the commits of its developer, and no others');
SELECT bag_eq(
    $$SELECT name, status::text FROM pggit.branches$$,
    $$VALUES ('main', 'ACTIVE'), ('feature-1', 'ACTIVE'), ('feature-2', 'ACTIVE'), ('feature-3', 'ACTIVE')$$,
    'there are these branches, and no others');

-- chaos:mutant all developers commit on the first branch
-- chaos:replace '''feature-'' || :worker' with '''feature-1''' in developer
-- chaos:caught by 'each branch has the commits of its developer, and no others'
