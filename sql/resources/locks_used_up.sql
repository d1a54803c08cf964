-- A job that takes a lock for each row uses up the lock table, which all sessions share
-- Reference: PostgreSQL docs, "Lock Management", max_locks_per_transaction
--
-- The lock table has room for max_locks_per_transaction locks times the sessions there may be, for whomever. Once one job
-- has them all, everybody who needs more gets 53200. Who tries again when the job is over gets through. The modest
-- session asks for 200 locks: connections that only begin or end meanwhile may give some of theirs back.

-- chaos:tags concurrent
-- chaos:sandbox server
-- chaos:server max_locks_per_transaction = 10
-- chaos:server max_connections = 20
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE done (who text PRIMARY KEY);

-- chaos:session hog
BEGIN;
DO $$
DECLARE
    row_id int := 0;
BEGIN
    LOOP
        row_id := row_id + 1;
        BEGIN
            PERFORM pg_advisory_xact_lock(1, row_id);
        EXCEPTION WHEN out_of_memory THEN
            RETURN;
        END;
    END LOOP;
END $$;
-- chaos:signal used_up
-- chaos:wait for refused
COMMIT;
-- chaos:signal free

-- chaos:session modest
-- chaos:wait for used_up
-- chaos:expect out_of_memory
SELECT pg_advisory_xact_lock(2, n) FROM generate_series(1, 200) AS n;
-- chaos:signal refused
-- chaos:wait for free
BEGIN;
SELECT pg_advisory_xact_lock(2, 1);
INSERT INTO done VALUES ('modest');
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'the modest one got through in the end') FROM done;
SELECT is_empty($$SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 1$$, 'all locks are given back');

-- chaos:mutant the job takes one lock
-- chaos:session hog
BEGIN;
SELECT pg_advisory_xact_lock(1, 1);
-- chaos:signal used_up
-- chaos:wait for refused
COMMIT;
-- chaos:signal free
-- chaos:caught by 'out_of_memory'

-- chaos:mutant the modest one does not try again
-- chaos:session modest
-- chaos:wait for used_up
-- chaos:expect out_of_memory
SELECT pg_advisory_xact_lock(2, n) FROM generate_series(1, 200) AS n;
-- chaos:signal refused
-- chaos:caught by 'the modest one got through in the end'
