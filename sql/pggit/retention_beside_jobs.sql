-- Old history is archived once, while DDL goes on and two jobs clean up
-- Reference: pgGit 0.1.3, cleanup_old_data, retention_policies
--
-- Two cleaning jobs start at the same time, while a developer changes a table. What is older than the policy says is in
-- the archive, once; what is not is in the history; nothing is in neither.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '42P01' it asks for the size of a table pggit.trigger_errors that is never created, and would then VACUUM in a function when pggit = shipped
-- chaos:schedule one.begins one.cleans developer.alters two.cleans one.ends

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/first_calls.psql
\endif
CREATE TABLE public.orders (id int);
INSERT INTO pggit.history (object_id, change_type, change_severity, change_description, created_at)
SELECT (SELECT id FROM pggit.objects WHERE object_type = 'TABLE' AND full_name = 'public.orders'), 'ALTER', 'PATCH', 'old ' || n, now() - interval '3 years'
FROM generate_series(1, 3) AS n;
CREATE TABLE public.before AS SELECT id FROM pggit.history;

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step cleans
SELECT * FROM pggit.cleanup_old_data();
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step cleans
SELECT * FROM pggit.cleanup_old_data();

-- chaos:session developer
-- chaos:step alters
ALTER TABLE public.orders ADD COLUMN note text;

-- chaos:check
SELECT results_eq(
    $$SELECT change_description FROM pggit.history_archive ORDER BY 1$$, $$VALUES ('old 1'), ('old 2'), ('old 3')$$, 'what is old is in the archive, once');
SELECT is_empty(
    'SELECT id FROM public.before EXCEPT (SELECT id FROM pggit.history UNION ALL SELECT id FROM pggit.history_archive)', 'nothing is lost');
SELECT is((SELECT count(*)::int FROM pggit.history WHERE change_description ~ 'public.orders - Added'), 1, 'what the developer did is in the history');

-- chaos:mutant what is deleted is not archived when pggit = repaired
-- chaos:replace 'SELECT * FROM gone RETURNING id' with 'SELECT * FROM gone WHERE id < 0 RETURNING id' in setup
-- chaos:caught by 'nothing is lost'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '42P01'
