-- A deposit is lost
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100);

-- chaos:session teller x 2
BEGIN;
SELECT balance FROM account WHERE id = 1 FOR UPDATE \gset
UPDATE account SET balance = :balance + 10 WHERE id = 1;
COMMIT;

-- chaos:check
SELECT is(balance, 120, 'no deposit is lost') FROM account;

-- chaos:mutant race
-- chaos:replace 'FOR UPDATE' with '' in teller
-- chaos:caught by 'no deposit is lost'
