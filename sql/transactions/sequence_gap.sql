-- A sequence is not rolled back, and its numbers are not in the order of commits
-- Reference: PostgreSQL docs, "Sequence Manipulation Functions", nextval, Caution
--
-- An order that is rolled back has used up its number, or every other order would have to wait for it. The next one gets the
-- next number, and a later number may be committed first. Numbers without gaps take a row that is locked.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule one.orders two.orders three.orders two.ends one.ends

-- chaos:setup
CREATE SEQUENCE order_number;
CREATE TABLE orders (number bigint PRIMARY KEY DEFAULT nextval('order_number'), shop text NOT NULL);

-- chaos:session one
-- chaos:step orders
BEGIN;
INSERT INTO orders (shop) VALUES ('one');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step orders
BEGIN;
INSERT INTO orders (shop) VALUES ('two');
-- chaos:step ends
ROLLBACK;

-- chaos:session three
-- chaos:step orders
INSERT INTO orders (shop) VALUES ('three');

-- chaos:check
SELECT results_eq(
    'SELECT number, shop FROM orders ORDER BY number', $$VALUES (1::bigint, 'one'), (3, 'three')$$, 'number 2 is a gap');
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits for a number');

-- chaos:mutant the numbers come from the table
ALTER TABLE orders DROP CONSTRAINT orders_pkey;
CREATE FUNCTION highest() RETURNS bigint LANGUAGE sql AS 'SELECT coalesce(max(number), 0) + 1 FROM orders';
ALTER TABLE orders ALTER COLUMN number SET DEFAULT highest();
-- chaos:caught by 'number 2 is a gap'

-- chaos:mutant nothing is rolled back
-- chaos:replace 'ROLLBACK' with 'COMMIT' in two
-- chaos:caught by 'number 2 is a gap'
