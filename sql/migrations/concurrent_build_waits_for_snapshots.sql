-- CREATE INDEX CONCURRENTLY waits for a transaction that never touched its table
-- Reference: PostgreSQL docs, CREATE INDEX, "Building Indexes Concurrently"; "CREATE INDEX Progress Reporting"
--
-- In its last phase the build waits for every snapshot of the database that is older than the index: a report over another
-- table holds it up, and whoever alters the table waits behind the build. Only a report without an old snapshot does not.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:matrix report in 'repeatable read', 'read committed'

-- chaos:setup
CREATE TABLE price (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL);

-- chaos:session report
BEGIN ISOLATION LEVEL :report;
SELECT count(*) FROM price;
-- chaos:signal reading
-- chaos:wait blocked migration when report = 'repeatable read'
-- chaos:wait blocked next_migration when report = 'repeatable read'
-- chaos:wait for altered when report = 'read committed'
COMMIT;

-- chaos:session migration
-- chaos:wait for reading
CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id);
-- chaos:signal built

-- chaos:session next_migration
-- chaos:wait blocked migration when report = 'repeatable read'
-- chaos:wait for built when report = 'read committed'
ALTER TABLE orders ADD COLUMN note text;
-- chaos:signal altered

-- chaos:check
SELECT :'report' = 'repeatable read' AS held_up \gset
\if :held_up
SELECT results_eq(
    $$SELECT session, waited_on FROM chaos.history WHERE waited_on <> '' ORDER BY session$$,
    $$VALUES ('migration', 'report[1]'), ('next_migration', 'migration[1]')$$, 'the build waits for the old snapshot');
\else
SELECT is_empty($$SELECT session FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits');
\endif
SELECT is(
    (SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_customer'::regclass), true, 'the index is built');

-- chaos:mutant the report keeps its snapshot when report = 'read committed'
-- chaos:replace ':report' with 'REPEATABLE READ' in report
-- chaos:caught by 'wait'

-- chaos:mutant the report lets its snapshot go when report = 'repeatable read'
-- chaos:replace ':report' with 'READ COMMITTED' in report
-- chaos:caught by 'wait'
