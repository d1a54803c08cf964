-- Orders of a customer are taken while somebody works on the customer
-- Reference: PostgreSQL docs, "Explicit Locking", Row-Level Locks; commit 0ac5ad5134 (foreign key locks, 9.3)
--
-- The foreign key locks the customer's row FOR KEY SHARE. That goes along with FOR NO KEY UPDATE, which an UPDATE of other
-- columns takes as well, and not with FOR UPDATE: who takes that "to be safe" keeps all orders of the customer waiting.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule clerk.looks shop.orders clerk.writes

-- chaos:setup
CREATE TABLE customers (id int PRIMARY KEY, credit int NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
INSERT INTO customers VALUES (1, 100);

-- chaos:session clerk
-- chaos:step looks
BEGIN;
SELECT credit FROM customers WHERE id = 1 FOR NO KEY UPDATE \gset
-- chaos:step writes
UPDATE customers SET credit = :credit + 50 WHERE id = 1;
COMMIT;

-- chaos:session shop
-- chaos:step orders
INSERT INTO orders VALUES (1, 1);

-- chaos:check
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits');
SELECT is((SELECT credit FROM customers), 150, 'the credit is raised');
SELECT is((SELECT count(*) FROM orders), 1::bigint, 'the order is taken');

-- chaos:mutant the clerk locks more than needed
-- chaos:replace 'FOR NO KEY UPDATE' with 'FOR UPDATE' in clerk
-- chaos:caught by 'nobody waits'

-- chaos:mutant the clerk does not lock, and deletes the customer
-- chaos:replace 'SELECT credit FROM customers WHERE id = 1 FOR NO KEY UPDATE' with 'DELETE FROM customers RETURNING credit' in clerk
-- chaos:caught by 'foreign_key_violation'
