-- Clients that write the same key at the same time make one row, and none fails
-- Reference: PostgreSQL docs, INSERT, "ON CONFLICT Clause"; "Feral Concurrency Control", SIGMOD 2015
--
-- "Look, then insert" fails with 23505, or makes two rows if nothing is unique. For your own table set `setup` (a file that
-- makes it), `table`, `key` (its columns), and `upsert`: the statement that each client sends, with the same key.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:default setup = tables/upsert.psql
-- chaos:default table = member
-- chaos:default key = email
-- chaos:default upsert = INSERT INTO member VALUES ('ann', 1) ON CONFLICT (email) DO UPDATE SET logins = member.logins + 1
-- chaos:default clients = 3

-- chaos:setup
\i :setup
RESET search_path;

-- chaos:session client x :clients retry 40001
BEGIN;
:upsert;
-- chaos:barrier written unless blocked
COMMIT;

-- chaos:check
SELECT is((SELECT count(*) FROM (SELECT FROM :table GROUP BY :key) AS one), 1::bigint, 'the clients wrote one key');
SELECT is((SELECT count(*) FROM :table), 1::bigint, 'there is one row of it');
SELECT is(count(*), :clients::bigint, 'all clients committed') FROM chaos.transactions WHERE outcome = 'committed';

-- chaos:mutant the snapshot is older than the row, and nobody tries again
-- chaos:session client retry none
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM :table;
-- chaos:barrier looked
:upsert;
COMMIT;
-- chaos:caught by 'serialization_failure'
