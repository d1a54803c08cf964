-- A lock that protects a change is kept until the change is committed
-- Reference: PostgreSQL docs, "Advisory Lock Functions"; https://www.postgresql.org/docs/current/explicit-locking.html
--
-- A lock in the application's code (of Redis, of a session, an advisory lock) that is released before COMMIT protects nothing:
-- the next one takes it and does not see the change yet. A lock of the transaction ends after the commit is visible.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule one.locks one.counts two.locks one.unlocks two.counts two.unlocks

-- chaos:setup
CREATE TABLE counter (value int NOT NULL);
INSERT INTO counter VALUES (0);

-- chaos:session one
-- chaos:step locks
BEGIN;
SELECT pg_advisory_xact_lock(77);
SELECT value FROM counter \gset
-- chaos:step counts
UPDATE counter SET value = :value + 1;
-- chaos:step unlocks
COMMIT;

-- chaos:session two
-- chaos:step locks
BEGIN;
SELECT pg_advisory_xact_lock(77);
SELECT value FROM counter \gset
-- chaos:step counts
UPDATE counter SET value = :value + 1;
-- chaos:step unlocks
COMMIT;

-- chaos:check
SELECT is((SELECT value FROM counter), 2, 'both were counted');

-- chaos:mutant the lock is released before the commit
-- chaos:session one
-- chaos:step locks
BEGIN;
SELECT pg_advisory_lock(77);
SELECT value FROM counter \gset
-- chaos:step counts
UPDATE counter SET value = :value + 1;
SELECT pg_advisory_unlock(77);
-- chaos:step unlocks
COMMIT;
-- chaos:caught by 'both were counted'

-- chaos:mutant the transaction has one snapshot
-- chaos:replace 'BEGIN' with 'BEGIN ISOLATION LEVEL REPEATABLE READ' in two
-- chaos:caught by 'serialization_failure'
