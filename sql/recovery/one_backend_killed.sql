-- The kernel kills one backend for want of memory, and all sessions lose their transactions
-- Reference: PostgreSQL docs, "Managing Kernel Resources", Linux Memory Overcommit; pg_terminate_backend
--
-- A backend that dies by SIGKILL may have left shared memory half written: the server ends all others, recovers, and takes
-- connections again. Who did nothing wrong must send its transaction again. pg_terminate_backend() hits only its target.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE entry (who text PRIMARY KEY, worked boolean NOT NULL DEFAULT false);

-- chaos:session hungry allow connection_failure
BEGIN;
INSERT INTO entry VALUES ('hungry');
-- chaos:barrier both_work
-- chaos:fault kill
INSERT INTO entry SELECT repeat(n::text, 10) FROM generate_series(1, 10) AS n;
COMMIT;
-- chaos:signal killed

-- chaos:session bystander retry connection_failure
BEGIN;
INSERT INTO entry VALUES ('bystander');
-- chaos:barrier both_work
-- chaos:wait for killed
UPDATE entry SET worked = true WHERE who = 'bystander';
COMMIT;

-- chaos:check
SELECT results_eq('SELECT who, worked FROM entry', $$VALUES ('bystander', true)$$, 'the bystander came through in the end');
SELECT results_eq(
    $$SELECT outcome, sqlstate FROM chaos.transactions WHERE session = 'bystander' ORDER BY attempt$$,
    $$VALUES ('rolled back', '08006'), ('committed', '00000')$$, 'its first transaction was lost');

-- chaos:mutant the backend is terminated, not killed
-- chaos:session hungry allow admin_shutdown
BEGIN;
INSERT INTO entry VALUES ('hungry');
-- chaos:barrier both_work
-- chaos:fault terminate
INSERT INTO entry SELECT repeat(n::text, 10) FROM generate_series(1, 10) AS n;
COMMIT;
-- chaos:signal killed
-- chaos:caught by 'its first transaction was lost'

-- chaos:mutant the bystander does not try again
-- chaos:session bystander retry none allow connection_failure
BEGIN;
INSERT INTO entry VALUES ('bystander');
-- chaos:barrier both_work
-- chaos:wait for killed
UPDATE entry SET worked = true WHERE who = 'bystander';
COMMIT;
-- chaos:caught by 'the bystander came through in the end'
