-- An auditor adds up two accounts while money moves from one to the other
-- Reference: Martin Kleppmann, "Hermitage", G-single read skew; PostgreSQL docs, "Transaction Isolation"
--
-- Each statement of read committed sees what is committed when it begins: the first account before the transfer, the second
-- after it, and the sum is one that never was. From repeatable read on, all statements see the same moment.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:xfail 'the auditor finds all the money' each statement sees another moment when level = 'read committed'
-- chaos:schedule auditor.reads_one transfer.moves auditor.reads_two

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);

-- chaos:session auditor
-- chaos:step reads_one
BEGIN ISOLATION LEVEL :level READ ONLY;
SELECT balance AS one FROM account WHERE id = 1 \gset
-- chaos:step reads_two
SELECT chaos.assert(:one + balance = 200, 'the auditor finds all the money') FROM account WHERE id = 2;
COMMIT;

-- chaos:session transfer
-- chaos:step moves
BEGIN;
UPDATE account SET balance = balance - 30 WHERE id = 1;
UPDATE account SET balance = balance + 30 WHERE id = 2;
COMMIT;

-- chaos:check
SELECT results_eq('SELECT balance FROM account ORDER BY id', ARRAY[70, 130], 'the transfer is done');

-- chaos:mutant the auditor reads at read committed
-- chaos:replace ':level' with 'READ COMMITTED' in auditor
-- chaos:caught by 'the auditor finds all the money'

-- chaos:mutant half of the transfer is lost
-- chaos:replace 'balance + 30' with 'balance' in transfer
-- chaos:caught by 'the transfer is done'
