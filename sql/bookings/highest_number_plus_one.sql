-- Two new rows do not get the same number
-- Reference: https://stackoverflow.com/questions/7427762 (max + 1 under concurrency); PostgreSQL docs, "Explicit Locking"
--
-- Each customer's tickets are numbered 1, 2, 3 … "The highest number plus one" is the same for two that ask at once. With a
-- lock on the customer they ask one after the other. FOR UPDATE on the tickets does not help: there is no row to lock yet.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:matrix before in none, some

-- chaos:setup
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE ticket (customer_id int NOT NULL REFERENCES customer, number int NOT NULL, UNIQUE (customer_id, number));
INSERT INTO customer VALUES (1);
INSERT INTO ticket SELECT 1, number FROM generate_series(1, 2) AS number WHERE :'before' = 'some';

-- chaos:session clerk x 2
BEGIN;
SELECT FROM customer WHERE id = 1 FOR UPDATE;
SELECT coalesce(max(number), 0) + 1 AS next FROM ticket WHERE customer_id = 1 \gset
-- chaos:barrier looked unless blocked
INSERT INTO ticket VALUES (1, :next);
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT number FROM ticket ORDER BY number',
    format('SELECT generate_series(1, %s)', CASE :'before' WHEN 'some' THEN 4 ELSE 2 END), 'the numbers follow each other');

-- chaos:mutant nothing is locked
-- chaos:replace 'FOR UPDATE' with '' in clerk
-- chaos:caught by 'unique_violation'

-- chaos:mutant the tickets are locked when before = none
-- chaos:replace 'FROM customer WHERE id = 1 FOR UPDATE' with 'FROM ticket WHERE customer_id = 1 FOR UPDATE' in clerk
-- chaos:caught by 'unique_violation'

-- chaos:mutant the lock comes after the look
-- chaos:session clerk
BEGIN;
SELECT coalesce(max(number), 0) + 1 AS next FROM ticket WHERE customer_id = 1 \gset
-- chaos:barrier looked
SELECT FROM customer WHERE id = 1 FOR UPDATE;
INSERT INTO ticket VALUES (1, :next);
COMMIT;
-- chaos:caught by 'unique_violation'
