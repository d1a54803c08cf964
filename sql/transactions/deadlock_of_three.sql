-- Three transfers in a ring, and one of them has to give way
-- Reference: PostgreSQL docs, "Explicit Locking", Deadlocks; runtime-config-locks, deadlock_timeout
--
-- No two of them lock the same two accounts, so no two of them deadlock: it takes all three. The server looks when a
-- wait has lasted deadlock_timeout, and ends one with 40P01; here the one that closes the ring, every time.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires superuser
-- chaos:schedule one.takes two.takes three.takes one.gives two.gives three.gives three.ends two.ends one.ends

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100), (3, 100);

-- chaos:session one
-- chaos:step takes
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 1;
-- chaos:step gives
UPDATE account SET balance = balance + 10 WHERE id = 2;
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step takes
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 2;
-- chaos:step gives
UPDATE account SET balance = balance + 10 WHERE id = 3;
-- chaos:step ends
COMMIT;

-- chaos:session three
-- chaos:step takes
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 3;
-- chaos:step gives
-- chaos:allow deadlock_detected
UPDATE account SET balance = balance + 10 WHERE id = 1;
-- chaos:step ends
COMMIT;

-- chaos:invariant
SELECT sum(balance) = 300 AS "no money is lost" FROM account;

-- chaos:check
SELECT results_eq(
    'SELECT balance FROM account ORDER BY id',
    'VALUES (90), (100), (110)',
    'two transfers were made, and the third was not'
);
SELECT is(count(*), 1::bigint, 'exactly one was the victim') FROM chaos.transactions WHERE sqlstate = '40P01';
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'one' AND step = 'gives'$$,
    ARRAY['two[1]'], 'one waited for two');
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'two' AND step = 'gives'$$,
    ARRAY['three[1]'], 'two waited for three');

-- chaos:mutant nobody closes the ring
-- chaos:replace 'balance + 10 WHERE id = 1' with 'balance + 10 WHERE id = 3' in three
-- chaos:caught by 'exactly one was the victim'

-- chaos:mutant the money arrives and never left
-- chaos:replace 'balance - 10' with 'balance' in one
-- chaos:caught by 'no money is lost'
-- chaos:caught by 'two transfers were made, and the third was not'
