-- Two branches are merged into main at the same time
-- Reference: pgGit 0.1.3, merge_branches; git-merge(1)
--
-- Each branch has an object that the other has not. Main has both in the end, and keeps what it had.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule one.begins two.begins one.merges two.merges one.ends two.ends

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int);
SELECT pggit.create_branch('feature-' || n) FROM generate_series(1, 2) AS n;
SELECT pggit.ensure_object_with_branch('VIEW', 'public', 'report_' || n, NULL, jsonb_build_object('of', n), 'feature-' || n)
    FROM generate_series(1, 2) AS n;

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step merges
SELECT pggit.merge_branches('feature-1', 'main', 'of one');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step begins
BEGIN;
-- chaos:step merges
SELECT pggit.merge_branches('feature-2', 'main', 'of two');
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT results_eq(
    $$SELECT object_name, metadata->>'of' FROM pggit.objects WHERE branch_name = 'main' AND schema_name = 'public' AND object_name ~ '^report|^orders$' AND is_active
      ORDER BY object_name$$,
    $$VALUES ('orders', NULL), ('report_1', '1'), ('report_2', '2')$$, 'main has what both branches brought');
SELECT is((SELECT count(*)::int FROM chaos.transactions WHERE outcome = 'committed' AND block), 2, 'both merges succeeded');

-- chaos:mutant one is merged into the other branch
-- chaos:replace '''main'', ''of two''' with '''feature-1'', ''of two''' in two
-- chaos:caught by 'main has what both branches brought'
