-- CREATE INDEX CONCURRENTLY waits behind a migration that waits for a report
-- Reference: PostgreSQL docs, "Explicit Locking", Table-Level Locks; GoCardless, "Zero-downtime Postgres migrations", 2015
--
-- The build would get along with the report, but not with the ALTER TABLE that is in the queue before it: it waits for as
-- long as the report runs, and so does everybody. Cancel who waits, not who works: then the build ends before the report.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL);

-- chaos:session report
BEGIN;
SELECT count(*) FROM orders;
-- chaos:signal reading
-- chaos:wait for built
SELECT count(*) FROM orders;
COMMIT;

-- chaos:session migration
-- chaos:wait for reading
-- chaos:expect query_canceled
ALTER TABLE orders ADD COLUMN note text;

-- chaos:session dba
-- chaos:wait blocked migration
CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id);
-- chaos:signal built

-- chaos:session operator
-- chaos:wait blocked dba
-- chaos:fault cancel of migration
SELECT 'the migration is cancelled';

-- chaos:check
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'dba'$$, ARRAY['migration[1]'], 'the build waited for the migration');
SELECT is(
    (SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_customer'::regclass), true, 'the index is built');

-- chaos:mutant nobody is cancelled
-- chaos:session operator
-- chaos:wait blocked dba
SELECT 'they wait';
-- chaos:caught by 'wait'

-- chaos:mutant the build is cancelled, and its lock wait with it
-- chaos:session operator
-- chaos:wait blocked dba
-- chaos:fault cancel of dba
SELECT 'the build is cancelled';
-- chaos:caught by 'query_canceled'
