-- A request does not need a second connection of the pool while it holds the first
-- Reference: https://github.com/brettwooldridge/HikariCP/wiki/About-Pool-Sizing (pool-locking); PgBouncer docs, default_pool_size
--
-- A request holds a transaction, and writes its log by a connection of its own, so that a rollback keeps the log. As many
-- requests as the pool has connections hold all of them, and each waits for one more: for ever, and no lock is to be seen on
-- the server. A request that writes its log before it begins its transaction needs one connection at a time. PgBouncer
-- stands between these requests and the server.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:pooler transaction size 2

-- chaos:setup
CREATE TABLE orders (worker int PRIMARY KEY);
CREATE TABLE log (worker int PRIMARY KEY);

-- chaos:session request x 2
-- chaos:barrier logged
BEGIN;
INSERT INTO orders VALUES (:worker);
-- chaos:barrier begun
COMMIT;

-- the second connection of each request
-- chaos:session logger x 2
INSERT INTO log VALUES (:worker);
-- chaos:barrier logged

-- chaos:check
SELECT is((SELECT count(*) FROM orders), 2::bigint, 'both orders are taken');
SELECT is((SELECT count(*) FROM log), 2::bigint, 'and logged');

-- chaos:mutant the log is written by another connection, while the transaction is open
-- chaos:session request x 2
BEGIN;
INSERT INTO orders VALUES (:worker);
-- chaos:barrier begun
-- chaos:barrier logged
COMMIT;
-- chaos:session logger x 2
-- chaos:barrier begun
INSERT INTO log VALUES (:worker);
-- chaos:barrier logged
-- chaos:caught by 'wait'
