-- A counter counts everything that is counted at the same time
-- Reference: PostgreSQL docs, "Transaction Isolation", Read Committed; Hermitage, P4 lost update
--
-- `value + 1` in the UPDATE counts; a value that was read before is lost. For your own table set `setup` (a file that makes
-- it, with the row), `table`, `where` (the row), `column`, and `count`: the statement that each client sends once.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:default setup = tables/counter.psql
-- chaos:default table = stock
-- chaos:default where = id = 1
-- chaos:default column = amount
-- chaos:default count = UPDATE :table SET :column = :column + 1 WHERE :where
-- chaos:default clients = 2
-- chaos:default orders = 20
-- chaos:schedule explore :orders

-- chaos:setup
\i :setup
RESET search_path;
CREATE TABLE before_it AS SELECT :column AS value FROM :table WHERE :where;

-- chaos:session client x :clients retry 40001 40P01
BEGIN;
:count;
COMMIT;

-- chaos:check
SELECT is((SELECT count(value) FROM before_it), 1::bigint, 'there is one row that counts');
SELECT is((SELECT :column FROM :table WHERE :where), (SELECT value + :clients FROM before_it), 'everything is counted');

-- chaos:mutant read, then write
-- chaos:session client
SELECT :column AS value FROM :table WHERE :where \gset
UPDATE :table SET :column = :value + 1 WHERE :where;
-- chaos:caught by 'everything is counted'
