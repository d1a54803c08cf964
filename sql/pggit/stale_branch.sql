-- A branch that has fallen behind does not rewind main
-- Reference: pgGit 0.1.3, merge_branches; git-merge(1), "Already up to date"
--
-- A branch leaves main, and main goes on: a column is added by another session. Nothing has happened on the branch, so
-- merging it must leave main as it is.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'main has the version that it had' execute_merge copies every object of the source, changed or not when pggit = shipped
-- chaos:schedule author.branches owner.alters owner.merges

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/merge.psql
\endif
CREATE TABLE public.orders (id int);

-- chaos:session author
-- chaos:step branches
SELECT pggit.create_branch('feature');

-- chaos:session owner
-- chaos:step alters
ALTER TABLE public.orders ADD COLUMN email text;
SELECT version AS before FROM pggit.objects WHERE object_type = 'TABLE' AND full_name = 'public.orders' AND branch_name = 'main' \gset
-- chaos:step merges
SELECT pggit.merge_branches('feature', 'main', 'nothing new');

-- chaos:check
SELECT is(
    (SELECT version FROM pggit.objects WHERE object_type = 'TABLE' AND full_name = 'public.orders' AND branch_name = 'main'),
    (SELECT max((variables->>'before')::int) FROM chaos.acknowledged), 'main has the version that it had');
SELECT is(
    (SELECT count(*)::int FROM pggit.objects WHERE full_name = 'public.orders.email' AND branch_name = 'main'), 1, 'main has the column');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'main has the version that it had'
