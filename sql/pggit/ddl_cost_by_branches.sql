-- What a DDL command costs does not grow with the number of branches
-- Reference: PostgreSQL docs, pg_stat_xact_user_tables; pgGit 0.1.3, its event triggers
--
-- The same ALTER TABLE, before and after twenty branches were created. Not its time is compared, which a busy machine
-- changes, but how many rows of pggit.objects it reads. Twice as many are allowed.

-- chaos:tags slow
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'it reads at most twice as many rows' names from information_schema have the collation C, for which pggit.objects has no index: the columns of all branches are read when pggit = shipped

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int PRIMARY KEY);
CREATE FUNCTION public.reads() RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint FROM pg_stat_xact_user_tables WHERE relid = 'pggit.objects'::regclass $$;
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
CREATE INDEX ON pggit.objects (full_name COLLATE "C", branch_name COLLATE "C");
CREATE INDEX ON pggit.objects (object_name COLLATE "C", branch_name COLLATE "C");
-- an index over rows that were updated in place is not used by every transaction: they are written anew
VACUUM FULL pggit.objects;
\endif
ANALYZE pggit.objects;

-- chaos:session owner
-- chaos:step before
BEGIN;
SELECT reads() AS at_first \gset
ALTER TABLE public.orders ADD COLUMN one int;
SELECT reads() - :at_first AS few \gset
COMMIT;
-- chaos:step branches
SELECT count(pggit.create_branch('feature-' || n)) FROM generate_series(1, 20) AS n;
ANALYZE pggit.objects;
-- chaos:step after
BEGIN;
SELECT reads() AS at_first \gset
ALTER TABLE public.orders ADD COLUMN two int;
SELECT reads() - :at_first AS many \gset
COMMIT;

-- chaos:check
SELECT cmp_ok((SELECT max((variables->>'few')::int) FROM chaos.acknowledged), '>', 0, 'a DDL command is tracked');
SELECT cmp_ok(
    (SELECT max((variables->>'many')::int) FROM chaos.acknowledged), '<=', (SELECT 2 * max((variables->>'few')::int) FROM chaos.acknowledged),
    'it reads at most twice as many rows');
SELECT is((SELECT count(*)::int FROM pggit.branches), 21, 'there are twenty branches beside main');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'it reads at most twice as many rows'
