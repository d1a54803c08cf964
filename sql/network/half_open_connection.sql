-- A client that vanished does not keep its locks for ever
-- Reference: PostgreSQL docs, "idle_in_transaction_session_timeout", "tcp_user_timeout"; RFC 5482
--
-- A laptop is closed, a firewall forgets a connection: no packet arrives any more, in neither direction, and nobody is told.
-- The client gives up by its own time-out (tcp_user_timeout) and connects again. The server knows nothing: the old
-- session is idle in its transaction and keeps its locks, so that the client waits for itself. The keepalives of the
-- system would notice after two hours. idle_in_transaction_session_timeout ends the old session in time.

-- chaos:tags concurrent

-- chaos:setup
CREATE TABLE seat (id int PRIMARY KEY, sold int NOT NULL);
INSERT INTO seat VALUES (1, 0);

-- chaos:session buyer connect 'tcp_user_timeout=200' retry 08006 unknown
BEGIN;
SET LOCAL lock_timeout = '5s';
UPDATE seat SET sold = sold + 1 WHERE id = 1;
SET LOCAL idle_in_transaction_session_timeout = '2s';
-- chaos:fault stall
COMMIT;

-- chaos:check
SELECT is((SELECT sold FROM seat), 1, 'the seat is sold once');
SELECT results_eq(
    'SELECT outcome, sqlstate FROM chaos.transactions WHERE block ORDER BY attempt',
    $$VALUES ('unknown', '08006'), ('committed', '00000')$$, 'the client gave up, and sent it again');

-- chaos:mutant the server waits for the client that vanished
-- chaos:replace '2s' with '0' in buyer
-- chaos:caught by '55P03'

-- chaos:mutant the client connects again and does not send it again
-- chaos:session buyer connect 'tcp_user_timeout=200' allow 08006
BEGIN;
SET LOCAL lock_timeout = '5s';
UPDATE seat SET sold = sold + 1 WHERE id = 1;
SET LOCAL idle_in_transaction_session_timeout = '2s';
-- chaos:fault stall
COMMIT;
-- chaos:caught by 'the seat is sold once'
