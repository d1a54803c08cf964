-- A worker behind a transaction pool asks the table, for no notification reaches it
-- Reference: https://www.pgbouncer.org/features.html (LISTEN); PostgreSQL docs, LISTEN
--
-- LISTEN belongs to a connection. Behind a transaction pool the worker gives it back with the end of LISTEN: nothing tells the
-- worker of a job, and the client that has the connection next is told instead. So the worker asks the table again, and takes
-- a notification for no more than a reason to ask sooner. Behind a session pool the worker is told. PgBouncer stands between
-- these clients and the server.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:matrix pooling in transaction, session
-- chaos:pooler transaction size 2 when pooling = transaction
-- chaos:pooler session size 2 when pooling = session
-- chaos:schedule worker.listens shop.orders worker.asks

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, done boolean NOT NULL DEFAULT false);

-- chaos:session worker
-- chaos:step listens
LISTEN job;
UPDATE job SET done = true WHERE NOT done;
-- chaos:step asks
UPDATE job SET done = true WHERE NOT done;

-- chaos:session shop
-- chaos:step orders
BEGIN;
INSERT INTO job VALUES (1);
NOTIFY job;
COMMIT;

-- chaos:check
SELECT ok(bool_and(done), 'the job is done') FROM job;
SELECT is(
    (SELECT count(*) FROM chaos.notifications WHERE session = 'worker'),
    CASE :'pooling' WHEN 'session' THEN 1::bigint ELSE 0::bigint END, 'the worker is told behind a session pool only');

-- chaos:mutant the worker waits for a notification
-- chaos:session worker
-- chaos:step listens
LISTEN job;
UPDATE job SET done = true WHERE NOT done;
-- chaos:step asks
SELECT 'nobody told me of a job';
-- chaos:caught by 'the job is done'

-- chaos:mutant the shop tells nobody when pooling = session
-- chaos:replace 'NOTIFY job' with 'SELECT 1' in shop
-- chaos:caught by 'the worker is told behind a session pool only'
