-- A table that is dropped on main is still on the branch
-- Reference: pgGit 0.1.3, its event trigger for sql_drop; git-rm(1)
--
-- A branch has left main with a table. Two sessions drop tables on main: main no longer has them, the branch does.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'main no longer has them' the event trigger looks for the object on any branch when pggit = shipped
-- chaos:xfail 'the branch has them' the event trigger looks for the object on any branch when pggit = shipped

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/tracking.psql
\endif
CREATE TABLE public.item_1 (id int);
CREATE TABLE public.item_2 (id int);
SELECT pggit.create_branch('feature');

-- chaos:session owner x 2
BEGIN;
DROP TABLE public.item_:worker;
-- chaos:barrier dropped unless blocked
COMMIT;

-- chaos:check
PREPARE tables (text) AS SELECT count(*)::int FROM pggit.objects
    WHERE object_type = 'TABLE' AND object_name ~ '^item_' AND branch_name = $1 AND is_active;
SELECT results_eq($$EXECUTE tables('main')$$, ARRAY[0], 'main no longer has them');
SELECT results_eq($$EXECUTE tables('feature')$$, ARRAY[2], 'the branch has them');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the branch has them'
