-- A prepared transaction outlives its coordinator, and so do its locks
-- Reference: PostgreSQL docs, PREPARE TRANSACTION, Caution
--
-- The coordinator of a two-phase commit is lost between its phases. Whoever needs the row waits for a transaction that
-- has no session to terminate (blocked by pid 0): somebody must look into pg_prepared_xacts and end it.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires capability prepared_transactions

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100);

-- chaos:session coordinator allow admin_shutdown
SELECT 'transfer in ' || current_database() AS gid \gset
BEGIN;
UPDATE account SET balance = balance - 50 WHERE id = 1;
PREPARE TRANSACTION :'gid';
SELECT pg_terminate_backend(pg_backend_pid());
-- chaos:signal lost

-- chaos:session waiter
-- chaos:wait for lost
UPDATE account SET balance = balance + 1 WHERE id = 1;

-- chaos:session operator
-- chaos:wait blocked waiter
SELECT chaos.assert(bool_and(pg_blocking_pids(pid) = '{0}'), 'who waits is blocked by no session')
  FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waiter[1]';
SELECT gid FROM pg_prepared_xacts WHERE gid = 'transfer in ' || current_database() \gset
ROLLBACK PREPARED :'gid';

-- chaos:check
SELECT is((SELECT balance FROM account), 101, 'the waiter came through, and the transfer was not made');
SELECT is(count(*), 0::bigint, 'no prepared transaction is left')
  FROM pg_prepared_xacts WHERE gid = 'transfer in ' || current_database();

-- chaos:mutant the operator ends who waits, not who is waited for
-- chaos:session operator
-- chaos:wait blocked waiter
SELECT pg_cancel_backend(pid)
  FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waiter[1]';
-- chaos:caught by 'query_canceled'

-- chaos:mutant the operator commits what nobody decided
-- chaos:replace 'ROLLBACK PREPARED' with 'COMMIT PREPARED' in operator
-- chaos:caught by 'the waiter came through, and the transfer was not made'

-- chaos:mutant the operator looks for sessions only
-- chaos:session waiter
-- chaos:wait for lost
SELECT balance FROM account WHERE id = 1;
-- chaos:session operator
-- chaos:wait for lost
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'coordinator[1]' AND state LIKE 'idle in transaction%';
-- chaos:caught by 'no prepared transaction is left'
-- chaos:caught by 'leak'

-- chaos:mutant the waiter deletes the account
-- chaos:replace 'UPDATE account SET balance = balance + 1' with 'DELETE FROM account' in waiter
-- chaos:caught by 'the waiter came through, and the transfer was not made'
