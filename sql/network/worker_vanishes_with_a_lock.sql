-- A worker whose network dies does not keep its job for good
-- Reference: PostgreSQL docs, idle_in_transaction_session_timeout, tcp_keepalives_idle
--
-- A worker holds a job in an open transaction, and its network vanishes without a word: no packet is acknowledged, the server
-- does not notice, and the lock stays. idle_in_transaction_session_timeout ends such a session, and the next worker gets the
-- job. Without it the job waits until keepalives give up, two hours later by default.
--
-- The network vanishes while the server is busy, so that the time-out begins when nothing passes any more.

-- chaos:tags concurrent
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, done_by text);
INSERT INTO job VALUES (1);

-- chaos:session lost connect 'keepalives_idle=1 keepalives_interval=1 keepalives_count=1' allow 08006
-- chaos:wait for ready
BEGIN;
SELECT id FROM job WHERE id = 1 FOR UPDATE;
SELECT set_config('idle_in_transaction_session_timeout', '1s', true), pg_advisory_xact_lock(1);

-- chaos:session next
SELECT pg_advisory_lock(1);
-- chaos:signal ready
-- chaos:wait blocked lost
SET lock_timeout = '10s';
-- chaos:fault stall of lost
SELECT pg_advisory_unlock(1);
UPDATE job SET done_by = 'next' WHERE id = 1 AND done_by IS NULL;

-- chaos:check
SELECT is((SELECT done_by FROM job), 'next', 'the next worker has done it');

-- chaos:mutant nothing ends the session of the lost worker
-- chaos:replace '''1s''' with '''0''' in lost
-- chaos:replace 'SET lock_timeout = ''10s''' with 'SET lock_timeout = ''100ms''' in next
-- chaos:caught by 'lock_not_available'
