-- Two buyers look at the same stock, and both then want to change it
-- Reference: PostgreSQL docs, "Explicit Locking", Deadlocks; Row-Level Locks
--
-- FOR SHARE can be held by both, and each then waits for the other's share to write: a deadlock. Who is going to write
-- takes the strong lock first, and the second buyer waits where nothing is held yet.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule buyer[1].looks buyer[2].looks buyer[1].buys buyer[2].buys

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL);
INSERT INTO stock VALUES (1, 10);

-- chaos:session buyer x 2
-- chaos:step looks
BEGIN;
SELECT amount FROM stock WHERE id = 1 FOR NO KEY UPDATE \gset
-- chaos:step buys
UPDATE stock SET amount = :amount - 1 WHERE id = 1;
COMMIT;

-- chaos:check
SELECT is((SELECT amount FROM stock), 8, 'both have bought');
SELECT is(
    (SELECT string_agg(waited_on, ';') FROM chaos.history WHERE waited_on <> ''), 'buyer[1]', 'the second buyer waited once');

-- chaos:mutant the buyers share the lock at first
-- chaos:replace 'FOR NO KEY UPDATE' with 'FOR SHARE' in buyer
-- chaos:caught by 'deadlock_detected'

-- chaos:mutant the buyers do not lock
-- chaos:replace 'FOR NO KEY UPDATE' with '' in buyer
-- chaos:caught by 'both have bought'
