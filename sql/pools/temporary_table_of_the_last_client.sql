-- A temporary table does not stay on a pooled connection
-- Reference: PostgreSQL docs, CREATE TABLE, ON COMMIT; https://www.pgbouncer.org/features.html (temporary tables)
--
-- A temporary table lasts as long as the connection. A transaction pool gives the connection to the next client, which
-- creates "the same" table: it fails with 42P07, or with IF NOT EXISTS finds the rows of the client before. ON COMMIT DROP
-- ends it in time. PgBouncer stands between these clients and the server.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:pooler transaction size 1
-- chaos:schedule ann.counts bob.counts

-- chaos:setup
CREATE TABLE report (client text NOT NULL, lines bigint NOT NULL);

-- chaos:session ann
-- chaos:step counts
BEGIN;
CREATE TEMPORARY TABLE IF NOT EXISTS line (client text) ON COMMIT DROP;
INSERT INTO line VALUES ('ann'), ('ann');
INSERT INTO report SELECT 'ann', count(*) FROM line;
COMMIT;

-- chaos:session bob
-- chaos:step counts
BEGIN;
CREATE TEMPORARY TABLE IF NOT EXISTS line (client text) ON COMMIT DROP;
INSERT INTO line VALUES ('bob');
INSERT INTO report SELECT 'bob', count(*) FROM line;
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT client, lines FROM report ORDER BY client', $$VALUES ('ann', 2::bigint), ('bob', 1::bigint)$$,
    'each client counts its own lines');

-- chaos:mutant the table stays on the connection
-- chaos:replace 'ON COMMIT DROP' with '' in ann
-- chaos:replace 'ON COMMIT DROP' with '' in bob
-- chaos:caught by 'each client counts its own lines'

-- chaos:mutant the table stays, and the next client is surprised
-- chaos:session ann
-- chaos:step counts
CREATE TEMPORARY TABLE line (client text);
-- chaos:session bob
-- chaos:step counts
CREATE TEMPORARY TABLE line (client text);
-- chaos:caught by 'duplicate_table'

-- chaos:mutant the rows go, and the table stays
-- chaos:session ann
-- chaos:step counts
CREATE TEMPORARY TABLE line (client text) ON COMMIT DELETE ROWS;
-- chaos:session bob
-- chaos:step counts
CREATE TEMPORARY TABLE line (client text) ON COMMIT DELETE ROWS;
-- chaos:caught by 'duplicate_table'
