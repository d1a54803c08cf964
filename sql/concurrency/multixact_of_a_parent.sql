-- A customer is deleted while two orders of the customer are not committed yet
-- Reference: PostgreSQL docs, "Routine Vacuuming", Multixacts and Wraparound; src/test/isolation/specs/fk-contention.spec
--
-- Both orders lock the customer's row FOR KEY SHARE. Two transactions do not fit into its xmax: a multixact stands for
-- them, a new one each time that a locker is added. The deletion waits for each of its members, and then fails.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule one.orders two.orders auditor.counts clerk.deletes one.ends two.ends

-- chaos:setup
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL CONSTRAINT orders_customer REFERENCES customers);
INSERT INTO customers VALUES (1);

-- chaos:session one
-- chaos:step orders
BEGIN;
INSERT INTO orders VALUES (1, 1);
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step orders
BEGIN;
INSERT INTO orders VALUES (2, 1);
-- chaos:step ends
COMMIT;

-- chaos:session auditor
-- chaos:step counts
SELECT chaos.assert((SELECT count(*) FROM pg_get_multixact_members(xmax)) = 2, 'two transactions hold the row') FROM customers;

-- chaos:session clerk
-- chaos:step deletes
-- chaos:expect foreign_key_violation
DELETE FROM customers WHERE id = 1;

-- chaos:check
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'clerk'$$,
    ARRAY['one[1], two[1]'], 'the deletion waited for both');
SELECT is((SELECT count(*) FROM orders JOIN customers ON customers.id = customer_id), 2::bigint, 'each order has its customer');

-- chaos:mutant no foreign key holds the customer
ALTER TABLE orders DROP CONSTRAINT orders_customer;
-- chaos:session auditor
-- chaos:step counts
SELECT 1;
-- chaos:caught by 'each order has its customer'
-- chaos:caught by 'the deletion waited for both'

-- chaos:mutant the second order is of another customer
INSERT INTO customers VALUES (2);
-- chaos:replace 'VALUES (2, 1)' with 'VALUES (2, 2)' in two
-- chaos:session auditor
-- chaos:step counts
SELECT 1;
-- chaos:caught by 'the deletion waited for both'
