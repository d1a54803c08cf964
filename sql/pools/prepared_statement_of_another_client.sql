-- A prepared statement is used on the connection that has it, and says what its client meant
-- Reference: https://www.pgbouncer.org/config.html (max_prepared_statements); PostgreSQL docs, PREPARE
--
-- Prepared statements belong to a connection. A client whose next transaction gets another connection of the pool is told that
-- its statement does not exist (26000), or runs another client's of the same name. Prepared and run in one transaction, and
-- deallocated, it can be neither.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule one.ann two.ann one.bob

-- chaos:setup
CREATE TABLE account (owner text PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES ('ann', 100), ('bob', 100);

-- chaos:session one
-- chaos:step ann
BEGIN;
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
DEALLOCATE pay;
COMMIT;
-- chaos:step bob
BEGIN;
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'bob';
EXECUTE pay (1);
DEALLOCATE pay;
COMMIT;

-- chaos:session two
-- chaos:step ann
BEGIN;
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
DEALLOCATE pay;
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT owner, balance FROM account ORDER BY owner', $$VALUES ('ann', 80), ('bob', 99)$$, 'everybody paid his own');

-- chaos:mutant the statement is prepared once, on the first connection
-- chaos:session two
-- chaos:step ann
EXECUTE pay (10);
-- chaos:caught by 'invalid_sql_statement_name'

-- chaos:mutant the statement stays, and has the name of another
-- chaos:session one
-- chaos:step ann
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
-- chaos:step bob
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'bob';
EXECUTE pay (1);
-- chaos:caught by 'duplicate_prepared_statement'

-- chaos:mutant the next client runs what it finds
-- chaos:session one
-- chaos:step ann
PREPARE pay (int) AS UPDATE account SET balance = balance - $1 WHERE owner = 'ann';
EXECUTE pay (10);
-- chaos:step bob
EXECUTE pay (1);
-- chaos:caught by 'everybody paid his own'
