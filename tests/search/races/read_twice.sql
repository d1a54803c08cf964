-- A report reads the balance twice, and prints two
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);

-- chaos:session report
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT sum(balance) AS first FROM account \gset
SELECT chaos.assert(sum(balance) = :first, 'the report is of one moment') FROM account;
COMMIT;

-- chaos:session deposit
UPDATE account SET balance = balance + 50 WHERE id = 1;

-- chaos:mutant race
-- chaos:replace 'REPEATABLE READ' with 'READ COMMITTED' in report
-- chaos:caught by 'the report is of one moment'
