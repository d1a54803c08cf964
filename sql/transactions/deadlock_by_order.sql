-- Two transfers that lock the same accounts in opposite order
-- Reference: PostgreSQL docs, "Explicit Locking", Deadlocks
--
-- Each transfer locks its own account before it asks for the other's. The server ends exactly one of them with 40P01,
-- either one; the other commits, and no money is lost.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);

-- chaos:session upward allow deadlock_detected
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 1;
-- chaos:barrier one_locked unless blocked
UPDATE account SET balance = balance + 10 WHERE id = 2;
COMMIT;

-- chaos:session downward allow deadlock_detected
BEGIN;
UPDATE account SET balance = balance - 20 WHERE id = 2;
-- chaos:barrier one_locked unless blocked
UPDATE account SET balance = balance + 20 WHERE id = 1;
COMMIT;

-- chaos:invariant
SELECT sum(balance) = 200 AS "no money is lost" FROM account;

-- chaos:check
SELECT is(count(*), 1::bigint, 'exactly one transfer committed')
  FROM chaos.transactions WHERE outcome = 'committed';
SELECT ok(
    (SELECT array_agg(balance ORDER BY id) FROM account) IN ('{90, 110}', '{120, 80}'),
    'its transfer was made, and nothing of the other');
SELECT is(count(*), 1::bigint, 'exactly one was the victim')
  FROM chaos.transactions WHERE sqlstate = '40P01';

-- chaos:mutant both lock in the same order
-- chaos:session downward
BEGIN;
UPDATE account SET balance = balance + 20 WHERE id = 1;
-- chaos:barrier one_locked unless blocked
UPDATE account SET balance = balance - 20 WHERE id = 2;
COMMIT;
-- chaos:caught by 'exactly one transfer committed'

-- chaos:mutant the money arrives and never left
-- chaos:replace 'balance - 10' with 'balance' in upward
-- chaos:replace 'balance - 20' with 'balance' in downward
-- chaos:caught by 'no money is lost'

-- chaos:mutant nobody moves anything
-- chaos:replace 'balance - 10' with 'balance' in upward
-- chaos:replace 'balance + 10' with 'balance' in upward
-- chaos:replace 'balance - 20' with 'balance' in downward
-- chaos:replace 'balance + 20' with 'balance' in downward
-- chaos:caught by 'its transfer was made, and nothing of the other'
