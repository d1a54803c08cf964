-- An order is taken while its customer is deleted
-- Reference: "Feral Concurrency Control", SIGMOD 2015; PostgreSQL docs, "Data Consistency Checks at the Application Level"
--
-- A foreign key locks the customer's row, and the deletion waits for it. A trigger or an application that only looks sees the
-- customer that is being deleted, the deletion does not see the order, and the order is left without a customer.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule shop.orders clerk.deletes shop.ends

-- chaos:setup
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL CONSTRAINT orders_customer REFERENCES customers);
INSERT INTO customers VALUES (1);

-- chaos:session shop
-- chaos:step orders
BEGIN;
INSERT INTO orders SELECT 1, id FROM customers WHERE id = 1;
-- chaos:step ends
COMMIT;

-- chaos:session clerk
-- chaos:step deletes
-- chaos:allow foreign_key_violation
DELETE FROM customers WHERE id = 1 AND NOT EXISTS (SELECT FROM orders WHERE customer_id = customers.id);

-- chaos:check
SELECT is((SELECT count(*) FROM orders), 1::bigint, 'the order is taken');
SELECT is_empty('SELECT id FROM orders WHERE customer_id NOT IN (SELECT id FROM customers)', 'each order has its customer');

-- chaos:mutant nobody but the statements themselves look
ALTER TABLE orders DROP CONSTRAINT orders_customer;
-- chaos:caught by 'each order has its customer'

-- chaos:mutant a trigger looks
ALTER TABLE orders DROP CONSTRAINT orders_customer;
CREATE FUNCTION has_customer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM customers WHERE id = new.customer_id) THEN
        RAISE foreign_key_violation;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER has_customer BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION has_customer();
-- chaos:caught by 'each order has its customer'

-- chaos:mutant the order is not taken
-- chaos:replace 'COMMIT' with 'ROLLBACK' in shop
-- chaos:caught by 'the order is taken'
