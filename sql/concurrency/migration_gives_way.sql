-- A migration that cannot get its lock soon gives way, and tries again later
-- Reference: GoCardless, "Zero-downtime Postgres migrations: the hard parts", 2015; PostgreSQL docs, lock_timeout
--
-- While ALTER TABLE waits for a report, readers wait behind it. With a lock_timeout shorter than the readers' patience
-- it fails with 55P03, the readers go on while the report still runs, and once it has ended the migration comes through.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.reads migration.tries reader.reads reader.goes_on report.ends migration.tries_again

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL);
INSERT INTO orders VALUES (1, 10), (2, 20);

-- chaos:session report
-- chaos:step reads
BEGIN;
SELECT sum(total) FROM orders;
-- chaos:step ends
COMMIT;

-- chaos:session migration
-- chaos:step tries
SET lock_timeout = '600ms';
-- chaos:allow lock_not_available
ALTER TABLE orders ADD COLUMN note text;
-- chaos:step tries_again
ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;

-- chaos:session reader
-- chaos:step reads
SET lock_timeout = '2s';
SELECT count(*) FROM orders;
-- chaos:step goes_on
SELECT count(*) FROM orders;

-- chaos:check
SELECT results_eq(
    $$SELECT sqlstate FROM chaos.history WHERE session = 'migration' AND waited_on = 'report[1]'$$,
    ARRAY['55P03'], 'the migration gave way');
SELECT is(count(*), 1::bigint, 'the reader had to wait behind it')
  FROM chaos.history WHERE session = 'reader' AND waited_on = 'migration[1]';
SELECT has_column('orders', 'note', 'the migration came through in the end');

-- chaos:mutant the migration is more patient than the readers
-- chaos:replace 'SET lock_timeout = ''600ms''' with 'SET lock_timeout = ''1min''' in migration
-- chaos:caught by 'lock_not_available'

-- chaos:mutant the migration never tries again
-- chaos:replace 'ADD COLUMN IF NOT EXISTS note text' with 'RENAME TO orders' in migration
-- chaos:caught by 'duplicate_table'

-- chaos:mutant the migration does not touch what the report reads
-- chaos:replace 'ALTER TABLE orders ADD COLUMN note text' with 'COMMENT ON TABLE orders IS ''note''' in migration
-- chaos:caught by 'the reader had to wait behind it'
