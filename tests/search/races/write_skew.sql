-- Two withdrawals from two tables overdraw the customer
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE checking (balance int NOT NULL);
CREATE TABLE savings (balance int NOT NULL);
INSERT INTO checking VALUES (100);
INSERT INTO savings VALUES (100);

-- chaos:session by_card retry serialization_failure
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT c.balance + s.balance >= 150 AS enough FROM checking c, savings s \gset
\if :enough
UPDATE checking SET balance = balance - 150;
\endif
COMMIT;

-- chaos:session by_cheque retry serialization_failure
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT c.balance + s.balance >= 150 AS enough FROM checking c, savings s \gset
\if :enough
UPDATE savings SET balance = balance - 150;
\endif
COMMIT;

-- chaos:check
SELECT ok(c.balance + s.balance >= 0, 'the customer is not overdrawn') FROM checking c, savings s;

-- chaos:mutant race
-- chaos:replace 'SERIALIZABLE' with 'REPEATABLE READ' in by_card
-- chaos:replace 'SERIALIZABLE' with 'REPEATABLE READ' in by_cheque
-- chaos:caught by 'the customer is not overdrawn'
