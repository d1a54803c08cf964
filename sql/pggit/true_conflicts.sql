-- What both branches have changed is a conflict
-- Reference: pgGit 0.1.3, merge_branches; git-merge(1), "conflict"
--
-- Both branches leave main, and both change the same view. Merged into main, the first is taken; the second must not
-- overwrite it: the merge says CONFLICTS_DETECTED, names the view, and leaves main as the first merge made it.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the second merge is told of the conflict' nothing fills content_hash, so hashes never differ when pggit = shipped
-- chaos:xfail 'main keeps what was merged first' the merge overwrites what it finds when pggit = shipped
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
SELECT pggit.merge_branches('feature-1', 'main', 'of one') AS merge \gset
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step merges
SELECT pggit.merge_branches('feature-2', 'main', 'of two') AS merge \gset

-- chaos:check
SELECT is(
    (SELECT metadata->>'by' FROM pggit.objects WHERE object_name = 'report' AND branch_name = 'main'), 'feature-1', 'main keeps what was merged first');
SELECT is(
    (SELECT string_agg(split_part(variables->>'merge', ':', 1), ' ' ORDER BY position) FROM chaos.acknowledged WHERE variables ? 'merge'),
    'MERGE_SUCCESS CONFLICTS_DETECTED', 'the second merge is told of the conflict');

-- chaos:mutant conflicts are not compared when pggit = repaired
-- chaos:replace 'IF v_one.conflict THEN' with 'IF false THEN' in setup
-- chaos:caught by 'the second merge is told of the conflict'
-- chaos:caught by 'main keeps what was merged first'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'main keeps what was merged first'
