-- A slow commit with NOTIFY makes every other NOTIFY wait
-- Reference: Recall.ai, "Postgres LISTEN/NOTIFY does not scale", 2025; src/backend/commands/async.c, PreCommit_Notify
--
-- Who has used NOTIFY takes one lock for the whole server, before it commits and until it has. While one commit waits for
-- its disk or a standby, all others queue behind it. Who writes a row for a reader that polls does not.

-- chaos:tags concurrent
-- chaos:timeout 30s
-- chaos:sandbox server
-- chaos:server synchronous_standby_names = nobody
-- chaos:server synchronous_commit = local

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE outbox (order_id int PRIMARY KEY);

-- chaos:session slow
BEGIN;
INSERT INTO orders VALUES (1);
NOTIFY orders;
SET LOCAL synchronous_commit = on;
COMMIT;

-- chaos:session watcher repeat while slow
SELECT count(*) = 1 AS commits FROM pg_stat_activity WHERE wait_event = 'SyncRep' \gset
\if :commits
-- chaos:signal committing
\endif
-- chaos:delay 2ms

-- chaos:session quick
-- chaos:wait for committing
BEGIN;
INSERT INTO orders VALUES (2);
INSERT INTO outbox VALUES (2);
COMMIT;
-- chaos:signal done

-- chaos:session operator
-- chaos:wait for done
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep';

-- chaos:check
SELECT is((SELECT count(*) FROM orders), 2::bigint, 'both orders are there');
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits for the slow commit');

-- chaos:mutant the quick one notifies too
-- chaos:replace 'INSERT INTO outbox VALUES (2)' with 'NOTIFY orders' in quick
-- chaos:session operator
-- chaos:wait blocked quick
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep';
-- chaos:caught by 'nobody waits for the slow commit'

-- chaos:mutant the quick one gives up
-- chaos:replace 'COMMIT' with 'ROLLBACK' in quick
-- chaos:caught by 'both orders are there'
