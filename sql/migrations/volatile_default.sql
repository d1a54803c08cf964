-- A column with a default that differs in each row is added while a report runs
-- Reference: PostgreSQL docs, ALTER TABLE, Notes; "Concurrency Control", Caveats
--
-- A constant default is stored once, in the catalog. A volatile one (gen_random_uuid(), clock_timestamp()) rewrites the
-- table under ACCESS EXCLUSIVE, and to a snapshot that is older the table then looks empty. Add the column without a
-- default, set the default for new rows, and fill the old ones.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.begins migration.alters shop.sells report.reads

-- chaos:setup
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY);
INSERT INTO orders VALUES (1), (2);
CREATE TABLE before_it AS SELECT pg_relation_filenode('orders') AS filenode;

-- chaos:session report
-- chaos:step begins
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM customers;
-- chaos:step reads
SELECT chaos.assert(count(*) = 2, 'the report sees the orders of its snapshot') FROM orders;
COMMIT;

-- chaos:session migration
-- chaos:step alters
ALTER TABLE orders ADD COLUMN token text;
ALTER TABLE orders ALTER COLUMN token SET DEFAULT random()::text;
UPDATE orders SET token = random()::text WHERE token IS NULL;

-- chaos:session shop
-- chaos:step sells
INSERT INTO orders VALUES (3);

-- chaos:check
SELECT is((SELECT count(DISTINCT token) FROM orders), 3::bigint, 'each order has a token of its own');
SELECT is(pg_relation_filenode('orders'), (SELECT filenode FROM before_it), 'the table was not rewritten');

-- chaos:mutant the column comes with its default
-- chaos:session migration
-- chaos:step alters
ALTER TABLE orders ADD COLUMN token text DEFAULT random()::text;
-- chaos:caught by 'the table was not rewritten'
-- chaos:caught by 'the report sees the orders of its snapshot'

-- chaos:mutant all old rows get the same
-- chaos:session migration
-- chaos:step alters
ALTER TABLE orders ADD COLUMN token text DEFAULT now()::text;
-- chaos:caught by 'each order has a token of its own'
