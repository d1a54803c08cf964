-- Two deployments create the same type at once
-- Reference: xataio/pgstream#1044; roostorg/osprey#432
--
-- CREATE TYPE has no IF NOT EXISTS, so deployments catch duplicate_object (42710). The one that comes while the other has
-- not committed waits in the catalog's unique index and gets unique_violation (23505): it has to be caught as well.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:session deployment x 2
BEGIN;
DO $$
BEGIN
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
-- chaos:barrier created unless blocked
COMMIT;
SELECT 'happy'::mood;

-- chaos:check
SELECT enum_has_labels('mood', ARRAY['sad', 'ok', 'happy'], 'the type is there');
SELECT is(
    (SELECT count(*) FROM chaos.transactions WHERE outcome = 'committed' AND block), 2::bigint,
    'both deployments came through');

-- chaos:mutant only duplicate_object is caught
-- chaos:replace 'duplicate_object OR unique_violation' with 'duplicate_object' in deployment
-- chaos:caught by 'unique_violation'

-- chaos:mutant the deployment looks first
-- chaos:session deployment
BEGIN;
SELECT to_regtype('mood') IS NULL AS missing \gset
-- chaos:barrier looked
\if :missing
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
\endif
-- chaos:barrier created unless blocked
COMMIT;
SELECT 'happy'::mood;
-- chaos:caught by 'unique_violation'
