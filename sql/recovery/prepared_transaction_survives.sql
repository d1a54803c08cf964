-- A prepared transaction survives a crash, its locks too
-- Reference: PostgreSQL docs, PREPARE TRANSACTION
--
-- The coordinator of a two-phase commit dies with the server between the two phases. The transaction waits prepared for
-- its second phase; the rows that it wrote are seen by nobody and locked for everybody until then.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100);
CREATE TABLE born AS SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer';

-- chaos:session coordinator
BEGIN;
UPDATE account SET balance = balance - 30 WHERE id = 1;
-- chaos:fault crash after
PREPARE TRANSACTION 'transfer';

-- chaos:check
SELECT cmp_ok(
    (SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'), '>',
    (SELECT backend_start FROM born), 'the server has recovered');
SELECT results_eq('SELECT gid FROM pg_prepared_xacts', ARRAY['transfer'], 'the transfer waits for its second phase');
SELECT is((SELECT balance FROM account), 100, 'nobody sees it');
SET lock_timeout = '50ms';
SELECT throws_ok('UPDATE account SET balance = 0', '55P03', NULL, 'its row is locked');
COMMIT PREPARED 'transfer';
SELECT is((SELECT balance FROM account), 70, 'the second phase can be done after the crash');

-- chaos:mutant nothing crashes
-- chaos:session coordinator
BEGIN;
UPDATE account SET balance = balance - 30 WHERE id = 1;
PREPARE TRANSACTION 'transfer';
-- chaos:caught by 'the server has recovered'

-- chaos:mutant the transfer is not prepared
-- chaos:session coordinator
BEGIN;
-- chaos:fault crash after
UPDATE account SET balance = balance - 30 WHERE id = 1;
-- chaos:caught by 'the transfer waits for its second phase'
-- chaos:caught by 'its row is locked'

-- chaos:mutant the transfer deletes the account
-- chaos:replace 'UPDATE account SET balance = balance - 30' with 'DELETE FROM account' in coordinator
-- chaos:caught by 'the second phase can be done after the crash'
