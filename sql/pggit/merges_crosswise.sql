-- Two branches are merged into each other at the same time
-- Reference: pgGit 0.1.3, merge_branches; git-merge(1)
--
-- Both have changed the same object. Whichever merge comes first, the branches must not exchange what they have: they
-- agree afterwards, or a conflict has been reported.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the branches agree, or there is a conflict' a merge neither locks nor compares, so the branches change places when pggit = shipped
-- chaos:schedule one.begins one.merges two.merges one.ends

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/merge.psql
\endif
SELECT pggit.ensure_object('VIEW', 'public', 'report', NULL, '{"by": "main"}');
SELECT pggit.create_branch('feature-' || n) FROM generate_series(1, 2) AS n;
SELECT pggit.increment_version(id, 'ALTER', 'MINOR', NULL, jsonb_build_object('by', branch_name))
    FROM pggit.objects WHERE object_name = 'report' AND branch_name <> 'main';

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step merges
SELECT pggit.merge_branches('feature-1', 'feature-2', 'of one');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step merges
SELECT pggit.merge_branches('feature-2', 'feature-1', 'of two');

-- chaos:check
SELECT is(
    (SELECT count(*)::int FROM pggit.objects WHERE object_name = 'report' AND branch_name <> 'main'), 2, 'both branches have the object');
SELECT ok(
    (SELECT count(DISTINCT metadata->>'by') = 1 FROM pggit.objects WHERE object_name = 'report' AND branch_name <> 'main')
    OR EXISTS (SELECT FROM pggit.merge_conflicts WHERE conflict_object = 'public.report'),
    'the branches agree, or there is a conflict');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the branches agree, or there is a conflict'
