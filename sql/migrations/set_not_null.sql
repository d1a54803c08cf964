-- A column becomes NOT NULL while the shop sells
-- Reference: PostgreSQL docs, ALTER TABLE, SET NOT NULL, Notes; ankane/strong_migrations, "Setting NOT NULL on an existing column"
--
-- SET NOT NULL reads the whole table under ACCESS EXCLUSIVE: nobody reads or writes meanwhile. A CHECK constraint that is
-- added NOT VALID and validated later lets the shop work, and then proves to SET NOT NULL that there is nothing to read.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule migration.adds migration.validates shop.sells migration.ends shop.errs migration.sets

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY, customer_id int);
INSERT INTO orders VALUES (1, 1);

-- chaos:session migration
-- chaos:step adds
ALTER TABLE orders ADD CONSTRAINT has_customer CHECK (customer_id IS NOT NULL) NOT VALID;
-- chaos:step validates
BEGIN;
ALTER TABLE orders VALIDATE CONSTRAINT has_customer;
-- chaos:step ends
COMMIT;
-- chaos:step sets
ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE orders DROP CONSTRAINT has_customer;

-- chaos:session shop
-- chaos:step sells
INSERT INTO orders VALUES (2, 1);
-- chaos:step errs
-- chaos:expect check_violation
INSERT INTO orders VALUES (3, NULL);

-- chaos:check
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits');
SELECT col_not_null('orders', 'customer_id', 'the column is NOT NULL');

-- chaos:mutant all at once
-- chaos:session migration
-- chaos:step adds
SELECT 1;
-- chaos:step validates
BEGIN;
ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL;
-- chaos:step ends
COMMIT;
-- chaos:step sets
SELECT 1;
-- chaos:caught by 'nobody waits'

-- chaos:mutant nobody sets it in the end
-- chaos:replace 'ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL' with '' in migration
-- chaos:caught by 'the column is NOT NULL'

-- chaos:mutant an old order has no customer
INSERT INTO orders VALUES (4, NULL);
-- chaos:caught by 'check_violation'
