-- Two transfers from one account neither lose money, overdraw it, nor deadlock
-- Reference: PostgreSQL docs, "Explicit Locking", Deadlocks (acquire locks in a consistent order)
--
-- Each transfer locks both accounts in the order of their numbers, looks at the balance that it has locked, and writes an entry
-- for each side. Without the lock both see enough money; with locks in two orders they wait for each other. All orders of
-- their steps are run.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:schedule all

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE entry (account_id int NOT NULL REFERENCES account, amount int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, -100);
INSERT INTO entry VALUES (1, 100), (2, -100);

-- chaos:session rent
-- chaos:step locks_1
BEGIN;
SELECT balance >= 70 AS enough FROM account WHERE id = 1 FOR UPDATE \gset
-- chaos:step locks_2
SELECT FROM account WHERE id = 2 FOR UPDATE;
-- chaos:step books
\if :enough
UPDATE account SET balance = balance + CASE id WHEN 1 THEN -70 ELSE 70 END WHERE id IN (1, 2);
INSERT INTO entry VALUES (1, -70), (2, 70);
\endif
COMMIT;

-- chaos:session fee
-- chaos:step locks_1
BEGIN;
SELECT balance >= 40 AS enough FROM account WHERE id = 1 FOR UPDATE \gset
-- chaos:step locks_2
SELECT FROM account WHERE id = 2 FOR UPDATE;
-- chaos:step books
\if :enough
UPDATE account SET balance = balance + CASE id WHEN 1 THEN -40 ELSE 40 END WHERE id IN (1, 2);
INSERT INTO entry VALUES (1, -40), (2, 40);
\endif
COMMIT;

-- chaos:invariant
SELECT balance >= 0 AS "the account is not overdrawn" FROM account WHERE id = 1;
SELECT sum(balance) = 0 AS "no money is lost" FROM account;
SELECT bool_and(balance = (SELECT sum(amount) FROM entry WHERE account_id = id)) AS "each balance is the sum of its entries"
  FROM account;

-- chaos:mutant the fee locks the accounts in another order
-- chaos:session fee
-- chaos:step locks_1
BEGIN;
SELECT FROM account WHERE id = 2 FOR UPDATE;
-- chaos:step locks_2
SELECT FROM account WHERE id = 1 FOR UPDATE;
-- chaos:step books
COMMIT;
-- chaos:caught by 'deadlock_detected'

-- chaos:mutant the fee looks at a balance that it has not locked
-- chaos:replace 'enough FROM account WHERE id = 1 FOR UPDATE' with 'enough FROM account WHERE id = 1' in fee
-- chaos:caught by 'the account is not overdrawn'

-- chaos:mutant the fee has one side only
-- chaos:replace 'INSERT INTO entry VALUES (1, -40), (2, 40)' with 'INSERT INTO entry VALUES (1, -40)' in fee
-- chaos:caught by 'each balance is the sum of its entries'
