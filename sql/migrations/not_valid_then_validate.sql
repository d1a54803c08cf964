-- A foreign key is added while the shop sells, and then checks the old rows
-- Reference: PostgreSQL docs, ALTER TABLE, NOT VALID and VALIDATE CONSTRAINT, Notes
--
-- ADD FOREIGN KEY keeps writers of both tables out while it reads all rows. NOT VALID reads none, and counts for new rows
-- at once. VALIDATE CONSTRAINT reads them later, with a lock that lets writers work.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule migration.adds migration.validates shop.sells migration.ends shop.errs

-- chaos:setup
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL);
INSERT INTO customers VALUES (1);
INSERT INTO orders VALUES (1, 1);

-- chaos:session migration
-- chaos:step adds
SET lock_timeout = '1s';
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;
-- chaos:step validates
BEGIN;
ALTER TABLE orders VALIDATE CONSTRAINT orders_customer;
-- chaos:step ends
COMMIT;

-- chaos:session shop
-- chaos:step sells
INSERT INTO orders VALUES (2, 1);
-- chaos:step errs
-- chaos:expect foreign_key_violation
INSERT INTO orders VALUES (3, 99);

-- chaos:check
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits');
SELECT is(
    (SELECT convalidated FROM pg_constraint WHERE conname = 'orders_customer'), true, 'the old rows are checked too');

-- chaos:mutant the key is added and checked at once
-- chaos:session migration
-- chaos:step adds
SET lock_timeout = '1s';
-- chaos:step validates
BEGIN;
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers;
-- chaos:step ends
COMMIT;
-- chaos:caught by 'nobody waits'

-- chaos:mutant nobody validates
-- chaos:replace 'ALTER TABLE orders VALIDATE CONSTRAINT orders_customer' with '' in migration
-- chaos:caught by 'the old rows are checked too'

-- chaos:mutant an old row has no customer
INSERT INTO orders VALUES (4, 98);
-- chaos:caught by 'foreign_key_violation'
