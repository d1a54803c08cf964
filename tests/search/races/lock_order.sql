-- Two transfers lock two accounts in opposite order
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);

-- chaos:session upward
BEGIN;
SELECT FROM account WHERE id = 1 FOR UPDATE;
SELECT FROM account WHERE id = 2 FOR UPDATE;
UPDATE account SET balance = balance + CASE id WHEN 1 THEN -10 ELSE 10 END;
COMMIT;

-- chaos:session downward
BEGIN;
SELECT FROM account WHERE id = 1 FOR UPDATE;
SELECT FROM account WHERE id = 2 FOR UPDATE;
UPDATE account SET balance = balance + CASE id WHEN 2 THEN -10 ELSE 10 END;
COMMIT;

-- chaos:check
SELECT is(sum(balance), 200::bigint, 'no money is lost') FROM account;

-- chaos:mutant race
-- chaos:session downward
BEGIN;
SELECT FROM account WHERE id = 2 FOR UPDATE;
SELECT FROM account WHERE id = 1 FOR UPDATE;
UPDATE account SET balance = balance + CASE id WHEN 2 THEN -10 ELSE 10 END;
COMMIT;
-- chaos:caught by 'deadlock_detected'
