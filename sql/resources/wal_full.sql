-- A disk that is full of WAL is a crash, and nothing that was committed is lost
-- Reference: PostgreSQL docs, "Disk Full Failure"
--
-- A server that cannot write its WAL cannot promise anything any more: it PANICs and takes all sessions with it. With room
-- again it recovers. The load that did it left nothing; what was committed before is there.

-- chaos:tags destructive
-- chaos:sandbox server
-- chaos:server max_wal_size = 64MB
-- chaos:server min_wal_size = 32MB
-- chaos:timeout 60s

-- chaos:setup
CREATE TABLE entry (id int PRIMARY KEY);
CREATE TABLE bulk (id int, filler text);
CREATE TABLE born AS SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer';

-- chaos:session loader allow disk_full connection_failure
INSERT INTO entry VALUES (1);
-- chaos:fault fill wal during
INSERT INTO bulk SELECT id, repeat('x', 1900) FROM generate_series(1, 40000) AS id;
INSERT INTO entry VALUES (2);

-- chaos:check
SELECT cmp_ok(
    (SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'), '>',
    (SELECT backend_start FROM born), 'the server has crashed and recovered');
SELECT results_eq('SELECT id FROM entry ORDER BY id', ARRAY[1, 2], 'what was committed is there');
SELECT is_empty('SELECT FROM bulk', 'the load left nothing');

-- chaos:mutant there is room enough
-- chaos:session loader
INSERT INTO entry VALUES (1);
INSERT INTO bulk SELECT id, repeat('x', 1900) FROM generate_series(1, 4000) AS id;
INSERT INTO entry VALUES (2);
-- chaos:caught by 'the server has crashed and recovered'
-- chaos:caught by 'the load left nothing'

-- chaos:mutant the entries have no WAL
-- chaos:replace 'CREATE TABLE entry' with 'CREATE UNLOGGED TABLE entry' in setup
-- chaos:caught by 'what was committed is there'
