-- A client makes at most as many requests in an hour as it may
-- Reference: PostgreSQL docs, INSERT, "ON CONFLICT Clause" (DO UPDATE … WHERE)
--
-- Two requests arrive at once and one more is allowed. "Count, then insert" lets both in, because each counts before the other
-- has committed. One statement that counts up and looks at the row that it has locked lets in one. All orders are run.

-- chaos:tags concurrent
-- chaos:timeout 30s
-- chaos:schedule all

-- chaos:setup
CREATE TABLE hits (client text, hour int, hits int NOT NULL, PRIMARY KEY (client, hour));
CREATE TABLE let_in (request int NOT NULL);
INSERT INTO hits VALUES ('ann', 9, 1);
INSERT INTO let_in VALUES (0);

-- chaos:session request x 2
-- chaos:step counts
BEGIN;
INSERT INTO hits VALUES ('ann', 9, 1) ON CONFLICT (client, hour) DO UPDATE SET hits = hits.hits + 1 WHERE hits.hits < 2;
SELECT :ROW_COUNT = 1 AS let_in \gset
-- chaos:step goes_in
\if :let_in
INSERT INTO let_in VALUES (:worker);
\endif
COMMIT;

-- chaos:check
SELECT is(count(*), 2::bigint, 'one of two more requests was let in') FROM let_in;
SELECT results_eq('SELECT hits FROM hits', ARRAY[2], 'and counted');

-- chaos:mutant count, then insert
-- chaos:session request
-- chaos:step counts
BEGIN;
SELECT count(*) < 2 AS let_in FROM let_in \gset
-- chaos:step goes_in
\if :let_in
INSERT INTO let_in VALUES (:worker);
INSERT INTO hits VALUES ('ann', 9, 1) ON CONFLICT (client, hour) DO UPDATE SET hits = hits.hits + 1;
\endif
COMMIT;
-- chaos:caught by 'one of two more requests was let in'

-- chaos:mutant read the count, then write it
-- chaos:session request
-- chaos:step counts
BEGIN;
SELECT hits AS so_far, hits < 2 AS let_in FROM hits \gset
-- chaos:step goes_in
\if :let_in
UPDATE hits SET hits = :so_far + 1;
INSERT INTO let_in VALUES (:worker);
\endif
COMMIT;
-- chaos:caught by 'one of two more requests was let in'
