-- A migration does not lock the shop out, and the data comes out right
-- Reference: GoCardless, "Zero-downtime Postgres migrations: the hard parts", 2015; PostgreSQL docs, ALTER TABLE, Notes
--
-- A long transaction writes, until a client of the shop was served after the migration began. A migration that waits for the
-- transaction, with the shop waiting behind it, locks the shop out: the client gives up after `patience`. For your own
-- database set `dump` (a file of pg_dump -s -O -x), `rows` (a file that fills its tables), `migration`, `shop` (a file of what
-- a client of the shop sends) and `right` (a condition that holds when the migration is done, and not if rows of `rows` are
-- lost). The shop sends its statements all the time; how long it waited at most is in the output of --chaos-show.

-- chaos:tags concurrent
-- chaos:timeout 2min
-- chaos:default dump = tables/shop.psql
-- chaos:default rows = tables/shop_rows.psql
-- chaos:default migration = tables/shop_migration.psql
-- chaos:default shop = tables/shop_statements.psql
-- chaos:default right = (SELECT count(*) = 1000 AND bool_and(total_cents / 100 BETWEEN id AND total) FROM orders WHERE id <= 1000)
-- chaos:default patience = 5s
-- chaos:default clients = 2

-- chaos:setup
\i :dump
RESET ALL;
\i :rows
CREATE TABLE tables_before AS
SELECT c.oid, nspname, relname, pg_relation_filenode(c.oid) AS file
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'chaos') AND relname <> 'tables_before';

-- chaos:session long_transaction
BEGIN;
SELECT format('LOCK TABLE %I.%I IN ROW EXCLUSIVE MODE', nspname, relname) FROM tables_before \gexec
-- chaos:signal writes
-- chaos:wait for served
COMMIT;

-- chaos:session migration retry lock_not_available up to 50 backoff 20ms
-- chaos:wait for writes
\i :migration
-- chaos:barrier begun unless blocked
SELECT 'the migration is done';

-- chaos:session client
SET lock_timeout = :'patience';
-- chaos:barrier begun unless blocked
\i :shop
-- chaos:signal served

-- chaos:session shop x :clients repeat while migration
SET lock_timeout = :'patience';
\i :shop

-- chaos:check
SELECT is_empty(
    $$SELECT relname FROM tables_before WHERE pg_relation_filenode(oid) <> file$$,
    'no table was written anew, with the shop locked out');
SELECT ok((:right), 'the data is right');
SELECT diag(format('statements of the shop waited for the migration %s times, %s ms at most', count(*),
    coalesce(round(max(extract(epoch FROM ended_at - started_at)) * 1000), 0)))
  FROM chaos.history WHERE session IN ('shop', 'client') AND waited_on LIKE '%migration%';

-- chaos:mutant the migration does not give way
-- chaos:session migration retry none
-- chaos:wait for writes
BEGIN;
SELECT format('LOCK TABLE %I.%I', nspname, relname) FROM tables_before \gexec
-- chaos:barrier begun unless blocked
COMMIT;
-- chaos:replace 'SET lock_timeout = :''patience''' with 'SET lock_timeout = ''300ms''' in client
-- chaos:caught by 'lock_not_available'

-- chaos:mutant the migration writes a table anew
-- chaos:session migration
-- chaos:wait for writes
SET lock_timeout = '100ms';
SELECT format('ALTER TABLE %I.%I ADD COLUMN chaos_new float DEFAULT random()', nspname, relname)
  FROM tables_before ORDER BY oid LIMIT 1 \gexec
-- chaos:barrier begun unless blocked
SELECT 'the migration is done';
-- chaos:caught by 'no table was written anew, with the shop locked out'

-- chaos:mutant the migration loses the rows
-- chaos:session migration
-- chaos:wait for writes
\i :migration
-- chaos:barrier begun unless blocked
SELECT format('DELETE FROM %I.%I', nspname, relname) FROM tables_before
 WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND confrelid = tables_before.oid) \gexec
-- chaos:caught by 'the data is right'
