-- CREATE INDEX CONCURRENTLY is cancelled in its last phase, and its index is built anew
-- Reference: PostgreSQL docs, CREATE INDEX, "Building Indexes Concurrently"; REINDEX
--
-- The build waits for an old snapshot and is cancelled there, by a statement_timeout or by hand. The index stays, ready but
-- not valid: no query uses it, each write pays for it, and IF NOT EXISTS takes it for what it wanted. Build it anew.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE price (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL);
INSERT INTO orders VALUES (1, 1);

-- chaos:session report
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM price;
-- chaos:signal reading
-- chaos:wait for cancelled
COMMIT;
-- chaos:signal read

-- chaos:session migration
-- chaos:wait for reading
-- chaos:expect query_canceled
-- chaos:fault cancel when blocked
CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id);
SELECT chaos.assert(indisready AND NOT indisvalid, 'the index is ready and not valid')
  FROM pg_index WHERE indexrelid = 'orders_customer'::regclass;
-- chaos:signal cancelled
-- chaos:wait for read
REINDEX INDEX CONCURRENTLY orders_customer;

-- chaos:check
SELECT results_eq(
    $$SELECT indisready, indisvalid FROM pg_index WHERE indexrelid = 'orders_customer'::regclass$$,
    'VALUES (true, true)', 'built anew, the index is whole');

-- chaos:mutant the migration is only run again
-- chaos:replace 'REINDEX INDEX CONCURRENTLY orders_customer' with 'CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_customer ON orders (customer_id)' in migration
-- chaos:caught by 'built anew, the index is whole'
-- chaos:caught by 'leak'

-- chaos:mutant the build is cancelled in its first phase
-- chaos:replace 'SELECT count(*) FROM price' with 'UPDATE orders SET customer_id = 2' in report
-- chaos:caught by 'the index is ready and not valid'
