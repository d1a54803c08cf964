-- What the server said is committed survives a crash, unless synchronous_commit is off
-- Reference: PostgreSQL docs, "Asynchronous Commit"
--
-- With synchronous_commit on all that was acknowledged is there after a crash. With off some of the last may be missing,
-- how many is a matter of time; but what is there is a prefix of it: no commit survives that came after a lost one.
-- The WAL writer, which would write what was committed asynchronously, sleeps long here.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:server wal_writer_delay = 10s
-- chaos:server synchronous_commit = off when level = off
-- chaos:matrix level in on, off
-- chaos:timeout 30s

-- chaos:setup
SET synchronous_commit = on;
CREATE TABLE entry (id int PRIMARY KEY);
CREATE TABLE born AS SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer';

-- chaos:session writer repeat 40
-- chaos:fault crash after on 40th execution
INSERT INTO entry VALUES (:iteration);

-- chaos:check
SELECT cmp_ok(
    (SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'), '>',
    (SELECT backend_start FROM born), 'the server has recovered');
SELECT is(count(*), 40::bigint, 'all commits were acknowledged') FROM chaos.acknowledged;
SELECT results_eq(
    'SELECT id FROM entry ORDER BY id',
    'SELECT iteration FROM chaos.acknowledged ORDER BY position LIMIT (SELECT count(*) FROM entry)',
    'what survived is a prefix of what was acknowledged');
SELECT :'level' = 'on' AS durable \gset
\if :durable
SELECT is_empty(
    'SELECT iteration FROM chaos.acknowledged EXCEPT SELECT id FROM entry',
    'nothing that was acknowledged is lost');
\else
SELECT skip('with synchronous_commit = off, what was acknowledged last may be lost');
\endif

-- chaos:mutant nothing crashes
-- chaos:session writer
INSERT INTO entry VALUES (:iteration);
-- chaos:caught by 'the server has recovered'

-- chaos:mutant commits are asynchronous when level = on
-- chaos:session writer
-- chaos:fault crash after on 40th execution
INSERT INTO entry SELECT :iteration WHERE set_config('synchronous_commit', 'off', false) = 'off';
-- chaos:caught by 'nothing that was acknowledged is lost'

-- chaos:mutant an entry is not the one that was acknowledged when level = on
-- chaos:session writer
-- chaos:fault crash after on 40th execution
INSERT INTO entry VALUES (:iteration + 1);
-- chaos:caught by 'what survived is a prefix of what was acknowledged'
