-- A prepared statement is used on the connection that has it, and says what its client meant
-- Reference: https://www.pgbouncer.org/config.html (max_prepared_statements); PostgreSQL docs, PREPARE
--
-- Prepared statements belong to a connection. A client whose next transaction gets another connection of the pool is told that
-- its statement does not exist (26000), or runs another client's of the same name. Prepared and run in one transaction, and
-- deallocated, it can be neither. PgBouncer stands between these clients and the server; its max_prepared_statements (from
-- 1.21 on) keeps track of the statements that drivers prepare by the protocol, not of these.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:pooler transaction size 2
-- chaos:schedule ann.first carl.begins ann.second carl.ends bob.pays

-- chaos:setup
CREATE TABLE account (owner text PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES ('ann', 100), ('bob', 100), ('carl', 100);

-- chaos:session ann
-- chaos:step first
BEGIN;
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
DEALLOCATE pay;
COMMIT;
-- chaos:step second
BEGIN;
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
DEALLOCATE pay;
COMMIT;

-- the pool gives the connection that was used last: so carl has ann's, and she gets another
-- chaos:session carl
-- chaos:step begins
BEGIN;
UPDATE account SET balance = balance - 5 WHERE owner = 'carl';
-- chaos:step ends
COMMIT;

-- chaos:session bob
-- chaos:step pays
BEGIN;
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'bob';
EXECUTE pay (1);
DEALLOCATE pay;
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT owner, balance FROM account ORDER BY owner', $$VALUES ('ann', 80), ('bob', 99), ('carl', 95)$$,
    'everybody paid his own');

-- chaos:mutant the statement is prepared once, on the first connection
-- chaos:session ann
-- chaos:step first
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
-- chaos:step second
EXECUTE pay (10);
-- chaos:caught by 'invalid_sql_statement_name'

-- chaos:mutant the statement stays, and has the name of another
-- chaos:session ann
-- chaos:step first
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
-- chaos:step second
UPDATE account SET balance = balance - 10 WHERE owner = 'ann';
-- chaos:caught by 'duplicate_prepared_statement'

-- chaos:mutant the next client runs what it finds
-- chaos:session ann
-- chaos:step first
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
-- chaos:step second
UPDATE account SET balance = balance - 10 WHERE owner = 'ann';
-- chaos:session bob
-- chaos:step pays
EXECUTE pay (1);
-- chaos:caught by 'everybody paid his own'
