-- An import does not use up the room for its subtransactions
-- Reference: GitLab, "Why we spent the last month eliminating PostgreSQL subtransactions", 2021; pg_stat_get_backend_subxact
--
-- A backend shows 64 subtransactions to others. With one more it overflows: each snapshot of every session then looks into
-- pg_subtrans, which gets slow for all. A loop with EXCEPTION opens one for each row; ON CONFLICT opens none.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires server >= 16

-- chaos:setup
CREATE TABLE item (id int PRIMARY KEY);
INSERT INTO item VALUES (7);

-- chaos:session import
BEGIN;
INSERT INTO item SELECT generate_series(1, 100) ON CONFLICT DO NOTHING;
-- chaos:signal imported
-- chaos:wait for seen
COMMIT;

-- chaos:session watcher
-- chaos:wait for imported
SELECT chaos.assert(NOT bool_or(subxact_overflowed), 'no backend has overflowed')
  FROM pg_stat_get_backend_idset() AS id, pg_stat_get_backend_subxact(id), pg_stat_get_activity(pg_stat_get_backend_pid(id))
 WHERE application_name = 'import[1]' AND datid = (SELECT oid FROM pg_database WHERE datname = current_database());
-- chaos:signal seen

-- chaos:check
SELECT is((SELECT count(*) FROM item), 100::bigint, 'all items are there');

-- chaos:mutant a subtransaction for each row
-- chaos:session import
BEGIN;
DO $$
BEGIN
    FOR n IN 1..100 LOOP
        BEGIN
            INSERT INTO item VALUES (n);
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
-- chaos:signal imported
-- chaos:wait for seen
COMMIT;
-- chaos:caught by 'no backend has overflowed'

-- chaos:mutant the import ends before the last row
-- chaos:replace '(1, 100)' with '(1, 99)' in import
-- chaos:caught by 'all items are there'
