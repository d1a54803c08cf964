-- Two cashiers each sell the first free seat of two
-- Reference: PostgreSQL docs, "Transaction Isolation", Read Committed; SELECT, "The Locking Clause"
--
-- The subselect that finds the first free seat runs once, before the UPDATE waits. After the wait only the row itself is
-- checked again: the second cashier sells nothing, although a seat is free, or the same seat again if nothing checks it.
-- SKIP LOCKED in the subselect passes by the seat that somebody else is selling.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE seat (id int PRIMARY KEY, buyer int);
INSERT INTO seat VALUES (1, NULL), (2, NULL);
CREATE TABLE receipt (worker int PRIMARY KEY, seats int NOT NULL);

-- chaos:session cashier x 2
BEGIN;
WITH sold AS (
    UPDATE seat SET buyer = :worker
     WHERE buyer IS NULL AND id = (SELECT id FROM seat WHERE buyer IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
)
INSERT INTO receipt SELECT :worker, count(*) FROM sold;
-- chaos:barrier sold unless blocked
COMMIT;

-- chaos:check
SELECT bag_eq('SELECT buyer FROM seat', 'VALUES (1), (2)', 'each cashier has sold a seat');
SELECT results_eq('SELECT seats FROM receipt', ARRAY[1, 1], 'and one only');

-- chaos:mutant both choose the same seat
-- chaos:replace 'FOR UPDATE SKIP LOCKED' with '' in cashier
-- chaos:caught by 'each cashier has sold a seat'
-- chaos:caught by 'and one only'

-- chaos:mutant nothing checks the seat again
-- chaos:replace 'buyer IS NULL AND id =' with 'id =' in cashier
-- chaos:replace 'FOR UPDATE SKIP LOCKED' with '' in cashier
-- chaos:caught by 'each cashier has sold a seat'
