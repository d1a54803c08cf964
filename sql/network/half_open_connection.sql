-- A client that vanished does not keep its locks for ever
-- Reference: PostgreSQL docs, "idle_in_transaction_session_timeout", "tcp_keepalives_idle"; RFC 1122, 4.2.3.6
--
-- A laptop is closed, a firewall forgets a connection: no packet arrives any more, in neither direction, and nobody is told.
-- The client gives up by its own keepalives and connects again. The server knows nothing: the old session is idle in its
-- transaction and keeps its locks, so that the client waits for itself. The keepalives of the system would notice after two
-- hours. idle_in_transaction_session_timeout ends the old session in time.
--
-- The firewall forgets the connection while the server is busy, so that the time-out begins when nothing passes any more.

-- chaos:tags concurrent

-- chaos:setup
CREATE TABLE seat (id int PRIMARY KEY, sold int NOT NULL);
INSERT INTO seat VALUES (1, 0);

-- chaos:session firewall
SELECT pg_advisory_lock(1);
-- chaos:signal ready
-- chaos:wait blocked buyer
-- chaos:fault stall of buyer
SELECT pg_advisory_unlock(1);

-- chaos:session buyer connect 'keepalives_idle=1 keepalives_interval=1 keepalives_count=1' retry 08006 25P03 up to 20
-- chaos:wait for ready
BEGIN;
SET LOCAL lock_timeout = '5s';
UPDATE seat SET sold = sold + 1 WHERE id = 1;
SELECT set_config('idle_in_transaction_session_timeout', '1s', true), pg_advisory_xact_lock(1);
COMMIT;

-- chaos:check
SELECT is((SELECT sold FROM seat), 1, 'the seat is sold once');
SELECT is(sqlstate, '08006', 'the client gave up, and sent it again') FROM chaos.transactions
 WHERE session = 'buyer' AND attempt = 1;

-- chaos:mutant the server waits for the client that vanished
-- chaos:replace '''1s''' with '''0''' in buyer
-- chaos:caught by '55P03'

-- chaos:mutant the client connects again and does not send it again
-- chaos:session buyer connect 'keepalives_idle=1 keepalives_interval=1 keepalives_count=1' allow 08006
-- chaos:wait for ready
BEGIN;
UPDATE seat SET sold = sold + 1 WHERE id = 1;
SELECT set_config('idle_in_transaction_session_timeout', '1s', true), pg_advisory_xact_lock(1);
COMMIT;
-- chaos:caught by 'the seat is sold once'
