-- A migration that begins must end: once, and only one that has begun
-- Reference: pgGit 0.1.3, begin_migration, end_migration
--
-- Two deployments begin a migration each and end it. What was never begun cannot be ended: the call returns no row.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '42804' begin_migration returns a timestamptz where it declares a timestamp, and fails whenever it is called when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/first_calls.psql
\endif

-- chaos:session deployment x 2
BEGIN;
SELECT migration_id, status AS begun FROM pggit.begin_migration('deployment ' || :worker, :'worker') \gset
-- chaos:barrier begun unless blocked
SELECT migration_id AS ended_id, status AS ended FROM pggit.end_migration(:migration_id) \gset
COMMIT;
SELECT count(*) AS never FROM pggit.end_migration(0) \gset

-- chaos:check
SELECT results_eq(
    $$SELECT variables->>'begun', variables->>'ended', variables->>'ended_id' = variables->>'migration_id', (variables->>'never')::int
      FROM chaos.acknowledged WHERE variables ? 'never'$$,
    $$VALUES ('STARTED', 'COMPLETED', true, 0), ('STARTED', 'COMPLETED', true, 0)$$, 'each began, and ended once');
SELECT results_eq('SELECT target_version FROM pggit.migration_targets ORDER BY 1', ARRAY['1', '2'], 'both are recorded');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '42804'
