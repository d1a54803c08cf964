-- Of several nodes one leads at a time, and when it gives up another one can lead
-- Reference: PostgreSQL docs, "Explicit Locking", Advisory Locks; Kleppmann, "How to do distributed locking", 2016
--
-- A search looks for an order in which two lead. For your own lock set `setup` (a file that makes its table, if it has one),
-- `take` (a statement whose row is true if the node now leads) and `give` (one that ends it).

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:default setup = tables/leader.psql
-- chaos:default take = SELECT pg_try_advisory_lock(77)
-- chaos:default give = SELECT pg_advisory_unlock(77)
-- chaos:default nodes = 2
-- chaos:default orders = 30
-- chaos:schedule explore :orders

-- chaos:setup
\i :setup
RESET search_path;
CREATE TABLE reign (node int NOT NULL, ended boolean NOT NULL DEFAULT false);

-- chaos:session node x :nodes
WITH taken (leads) AS (:take) SELECT coalesce(bool_or(leads), false) AS leads FROM taken \gset
\if :leads
INSERT INTO reign VALUES (:worker);
UPDATE reign SET ended = true WHERE node = :worker;
:give;
\endif

-- chaos:invariant
SELECT count(*) <= 1 AS "at most one node leads" FROM reign WHERE NOT ended;

-- chaos:check
SELECT ok(count(*) > 0, 'somebody led') FROM reign;
WITH taken (leads) AS (:take) SELECT ok(coalesce(bool_or(leads), false), 'another one can lead now') FROM taken;
:give;

-- chaos:mutant everybody leads
-- chaos:replace '(:take)' with '(SELECT true)' in node
-- chaos:replace ':give' with 'SELECT' in node
-- chaos:caught by 'at most one node leads'

-- chaos:mutant who leads does not give up
-- chaos:replace ':give' with 'SELECT' in node
-- chaos:caught by 'another one can lead now'
