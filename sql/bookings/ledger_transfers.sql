-- Transfers in both directions neither lose money, overdraw an account, nor deadlock
-- Reference: PostgreSQL docs, "Explicit Locking", Deadlocks (lock in a consistent order)
--
-- Two transfers between the same accounts, in opposite directions. Each locks both accounts in the order of their numbers,
-- looks at the balance that it has locked, and writes two entries whose sum is 0. A search looks for an order of their steps that fails.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:schedule explore 12

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE entry (account_id int NOT NULL REFERENCES account, amount int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 50);

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

-- chaos:session refund
-- chaos:step locks_1
BEGIN;
SELECT FROM account WHERE id = 1 FOR UPDATE;
-- chaos:step locks_2
SELECT balance >= 80 AS enough FROM account WHERE id = 2 FOR UPDATE \gset
-- chaos:step books
\if :enough
UPDATE account SET balance = balance + CASE id WHEN 2 THEN -80 ELSE 80 END WHERE id IN (1, 2);
INSERT INTO entry VALUES (2, -80), (1, 80);
\endif
COMMIT;

-- chaos:session fee
-- chaos:step takes
BEGIN;
SELECT balance >= 40 AS enough FROM account WHERE id = 1 FOR UPDATE \gset
-- chaos:step books
\if :enough
UPDATE account SET balance = balance - 40 WHERE id = 1;
INSERT INTO entry VALUES (1, -40);
\endif
COMMIT;

-- chaos:invariant
SELECT min(balance) >= 0 AS "no account is overdrawn" FROM account;
SELECT bool_and(balance = (SELECT coalesce(sum(amount), 0) FROM entry WHERE account_id = id) + CASE id WHEN 1 THEN 100 ELSE 50 END)
    AS "each balance is the sum of its entries" FROM account;

-- chaos:mutant the refund locks from, then to
-- chaos:session refund
-- chaos:step locks_1
BEGIN;
SELECT balance >= 80 AS enough FROM account WHERE id = 2 FOR UPDATE \gset
-- chaos:step locks_2
SELECT FROM account WHERE id = 1 FOR UPDATE;
-- chaos:step books
COMMIT;
-- chaos:caught by 'deadlock_detected'

-- chaos:mutant the fee looks at a balance that it has not locked
-- chaos:replace 'FOR UPDATE' with '' in fee
-- chaos:caught by 'no account is overdrawn'

-- chaos:mutant the fee has no entry
-- chaos:replace 'INSERT INTO entry VALUES (1, -40)' with '' in fee
-- chaos:caught by 'each balance is the sum of its entries'
