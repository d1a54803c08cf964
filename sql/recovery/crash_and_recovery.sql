-- A crash takes what was not committed, and nothing else
-- Reference: PostgreSQL docs, "Reliability and the Write-Ahead Log"; src/test/recovery/t/013_crash_restart.pl
--
-- The server dies as in a power cut, in the middle of a transaction, and recovers from its WAL. What proves that it did
-- is another checkpointer: pg_postmaster_start_time() need not change.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE entry (id int PRIMARY KEY);
CREATE TABLE born AS SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer';

-- chaos:session writer allow connection_failure
INSERT INTO entry VALUES (1);
BEGIN;
INSERT INTO entry VALUES (2);
-- chaos:fault crash
INSERT INTO entry VALUES (3);
COMMIT;
INSERT INTO entry VALUES (4);

-- chaos:check
SELECT cmp_ok(
    (SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'), '>',
    (SELECT backend_start FROM born), 'the server has recovered');
SELECT is(count(*), 1::bigint, 'what was committed before the crash is there') FROM entry WHERE id = 1;
SELECT is_empty('SELECT id FROM entry WHERE id IN (2, 3)', 'what was not committed is gone');
SELECT is(count(*), 1::bigint, 'and the session went on') FROM entry WHERE id = 4;
SELECT results_eq(
    'SELECT outcome, sqlstate FROM chaos.transactions WHERE block',
    $$VALUES ('rolled back', '08006')$$, 'it was told that its connection is lost');

-- chaos:mutant nothing crashes
-- chaos:session writer
INSERT INTO entry VALUES (1);
BEGIN;
INSERT INTO entry VALUES (2);
INSERT INTO entry VALUES (3);
COMMIT;
INSERT INTO entry VALUES (4);
-- chaos:caught by 'the server has recovered'
-- chaos:caught by 'what was not committed is gone'

-- chaos:mutant the table has no WAL
-- chaos:replace 'CREATE TABLE entry' with 'CREATE UNLOGGED TABLE entry' in setup
-- chaos:caught by 'what was committed before the crash is there'
