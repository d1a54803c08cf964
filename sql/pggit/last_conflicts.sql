-- Two sessions resolve the last two conflicts of a merge
-- Reference: pgGit 0.1.3, resolve_conflict; git-merge(1), "git merge --continue"
--
-- A merge has found two conflicts. Two developers resolve one each at the same time, both for the source. When none is
-- left, the target has what they chose, and neither can be resolved again.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the target has what was chosen' resolve_conflict only marks the conflict: nothing ever ends the merge when pggit = shipped
-- chaos:xfail '42704' resolve_conflict does not look whether the conflict is open when pggit = shipped
-- chaos:schedule one.begins two.begins one.resolves two.resolves one.ends two.ends late.resolves

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/merge.psql
\endif
SELECT pggit.ensure_object('VIEW', 'public', name, NULL, '{"by": "main"}') FROM unnest(ARRAY['report_1', 'report_2']) AS name;
SELECT pggit.create_branch('feature-' || n) FROM generate_series(1, 2) AS n;
-- content_hash is set by hand, as nothing sets it: true_conflicts.sql is about that
SELECT pggit.increment_version(id, 'ALTER', 'MINOR', NULL, jsonb_build_object('by', branch_name))
    FROM pggit.objects WHERE object_name ~ '^report' AND branch_name <> 'main';
UPDATE pggit.objects SET content_hash = md5(metadata::text) WHERE object_name ~ '^report';
SELECT split_part(pggit.merge_branches('feature-1', 'feature-2', 'both'), ':', 2) AS merge \gset
CREATE TABLE public.conflict AS SELECT merge_id, id, right(conflict_object, 1)::int AS n FROM pggit.merge_conflicts WHERE merge_id = :'merge';

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step resolves
SELECT pggit.resolve_conflict(merge_id, id, 'TAKE_SOURCE') FROM public.conflict WHERE n = 1;
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step begins
BEGIN;
-- chaos:step resolves
SELECT pggit.resolve_conflict(merge_id, id, 'TAKE_SOURCE') FROM public.conflict WHERE n = 2;
-- chaos:step ends
COMMIT;

-- chaos:session late
-- chaos:step resolves
-- chaos:expect undefined_object
SELECT pggit.resolve_conflict(merge_id, id, 'TAKE_TARGET') FROM public.conflict WHERE n = 2;

-- chaos:check
SELECT is((SELECT count(*)::int FROM public.conflict), 2, 'both conflicts were found');
SELECT is(
    (SELECT string_agg(metadata->>'by', ' ') FROM pggit.objects WHERE object_name ~ '^report' AND branch_name = 'feature-2'),
    'feature-1 feature-1', 'the target has what was chosen');

-- chaos:mutant a choice is not carried out when pggit = repaired
-- chaos:replace 'IF p_resolution_strategy = ''TAKE_SOURCE'' THEN' with 'IF false THEN' in setup
-- chaos:caught by 'the target has what was chosen'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the target has what was chosen'
