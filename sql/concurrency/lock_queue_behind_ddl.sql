-- A migration that waits makes everybody behind it wait
-- Reference: GoCardless, "Zero-downtime Postgres migrations: the hard parts", 2015; PostgreSQL docs, "Explicit Locking"
--
-- A report holds its read lock. ALTER TABLE waits for the report; a reader that comes after it would get along with
-- the report very well, and still waits: behind the ALTER.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.reads migration.alters reader.reads report.ends

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
-- chaos:step alters
ALTER TABLE orders ADD COLUMN note text;

-- chaos:session reader
-- chaos:step reads
SELECT count(*) FROM orders;

-- chaos:check
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'migration'$$,
    ARRAY['report[1]'], 'the migration waits for the report');
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'reader'$$,
    ARRAY['migration[1]'], 'the reader waits for the migration, not for the report');
SELECT has_column('orders', 'note', 'the migration came through in the end');

-- chaos:mutant the migration takes a weaker lock
-- chaos:replace 'ALTER TABLE orders ADD COLUMN note text' with 'COMMENT ON TABLE orders IS ''note''' in migration
-- chaos:caught by 'the migration waits for the report'
-- chaos:caught by 'the reader waits for the migration, not for the report'

-- chaos:mutant the migration gives way at once
-- chaos:session migration allow lock_not_available
-- chaos:step alters
BEGIN;
LOCK TABLE orders IN ACCESS EXCLUSIVE MODE NOWAIT;
ALTER TABLE orders ADD COLUMN note text;
COMMIT;
-- chaos:caught by 'the reader waits for the migration, not for the report'
-- chaos:caught by 'the migration came through in the end'
