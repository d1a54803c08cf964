-- One of three nodes is the leader, and another follows when its connection ends
-- Reference: PostgreSQL docs, "Explicit Locking", Advisory Locks (session level); pg_terminate_backend
--
-- The leader holds an advisory lock of its session for as long as it leads. It needs no time-out and no clean-up: when the
-- connection ends, the server releases the lock, and a node that waits for it becomes leader. A lock of a transaction ends
-- with the transaction, here with the statement: everybody is leader.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE reign (nr int GENERATED ALWAYS AS IDENTITY, node int NOT NULL, ended boolean NOT NULL DEFAULT false);

-- chaos:session first allow admin_shutdown
SELECT pg_advisory_lock(77);
INSERT INTO reign (node) VALUES (0);
-- chaos:signal leads
-- chaos:wait for gone
UPDATE reign SET ended = true WHERE node = 0;

-- chaos:session node x 2
-- chaos:wait for leads
SELECT pg_advisory_lock(77);
INSERT INTO reign (node) VALUES (:worker);
UPDATE reign SET ended = true WHERE node = :worker;
SELECT pg_advisory_unlock(77);

-- chaos:session operator
-- chaos:wait for leads
-- chaos:wait blocked node
SELECT chaos.assert(count(*) = 1, 'one node leads') FROM reign;
SELECT chaos.terminate('first');
-- chaos:signal gone

-- chaos:check
SELECT results_eq('SELECT node FROM reign ORDER BY nr LIMIT 1', ARRAY[0], 'the first node led first');
SELECT is(count(*), 3::bigint, 'the others led when it was gone') FROM reign;
SELECT is(count(*), 1::bigint, 'the first leader was not told that it had lost its office')
  FROM chaos.history WHERE session = 'first' AND sqlstate = '57P01';

-- chaos:mutant the lock ends with the statement
-- chaos:replace 'pg_advisory_lock(77)' with 'pg_advisory_xact_lock(77)' in first
-- chaos:session node
-- chaos:wait for leads
SELECT pg_advisory_xact_lock(77);
INSERT INTO reign (node) VALUES (:worker);
-- chaos:signal leads_too
-- chaos:session operator
-- chaos:wait for leads_too
SELECT chaos.assert(count(*) = 1, 'one node leads') FROM reign;
SELECT chaos.terminate('first');
-- chaos:signal gone
-- chaos:caught by 'one node leads'

-- chaos:mutant a node that does not get the lock gives up
-- chaos:session node
-- chaos:wait for leads
SELECT pg_try_advisory_lock(77) AS leader \gset
-- chaos:signal tried
\if :leader
INSERT INTO reign (node) VALUES (:worker);
SELECT pg_advisory_unlock(77);
\endif
-- chaos:session operator
-- chaos:wait for tried
SELECT chaos.terminate('first');
-- chaos:signal gone
-- chaos:caught by 'the others led when it was gone'
