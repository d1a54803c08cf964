-- A migration of two tables does not hold the first while it waits for the second
-- Reference: GitLab docs, "Avoiding downtime in migrations", with_lock_retries; PostgreSQL docs, "Explicit Locking"
--
-- A report reads customers. In one transaction, the migration gets orders at once and then waits for customers: the shop,
-- which needs orders only, waits for the report as well. With a transaction for each table nobody waits for orders.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.reads migration.alters_orders migration.alters_customers shop.sells report.ends migration.ends

-- chaos:setup
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY);

-- chaos:session report
-- chaos:step reads
BEGIN;
SELECT count(*) FROM customers;
-- chaos:step ends
COMMIT;

-- chaos:session migration
-- chaos:step alters_orders
BEGIN;
ALTER TABLE orders ADD COLUMN note text;
COMMIT;
-- chaos:step alters_customers
BEGIN;
ALTER TABLE customers ADD COLUMN note text;
-- chaos:step ends
COMMIT;

-- chaos:session shop
-- chaos:step sells
INSERT INTO orders VALUES (1);

-- chaos:check
SELECT is_empty(
    $$SELECT waited_on FROM chaos.history WHERE session = 'shop' AND waited_on <> ''$$, 'the shop waits for nobody');
SELECT has_column('orders', 'note', 'the first table is migrated');
SELECT has_column('customers', 'note', 'the second table is migrated');

-- chaos:mutant one transaction for both tables
-- chaos:session migration
-- chaos:step alters_orders
BEGIN;
ALTER TABLE orders ADD COLUMN note text;
-- chaos:step alters_customers
ALTER TABLE customers ADD COLUMN note text;
-- chaos:step ends
COMMIT;
-- chaos:caught by 'the shop waits for nobody'

-- chaos:mutant the migration is done by half
-- chaos:replace 'ALTER TABLE customers ADD COLUMN note text' with '' in migration
-- chaos:caught by 'the second table is migrated'
