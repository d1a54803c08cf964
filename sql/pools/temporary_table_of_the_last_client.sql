-- A temporary table does not stay on a pooled connection
-- Reference: PostgreSQL docs, CREATE TABLE, ON COMMIT; https://www.pgbouncer.org/features.html (temporary tables)
--
-- A temporary table lasts as long as the connection. The pool gives the connection to the next client, which creates "the same"
-- table: it fails with 42P07, or with IF NOT EXISTS finds the rows of the client before. ON COMMIT DROP ends it in time.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule pooled.ann other.ann pooled.bob

-- chaos:setup
CREATE TABLE report (client text NOT NULL, lines bigint NOT NULL);

-- chaos:session pooled
-- chaos:step ann
BEGIN;
CREATE TEMPORARY TABLE IF NOT EXISTS line (client text) ON COMMIT DROP;
INSERT INTO line VALUES ('ann'), ('ann');
INSERT INTO report SELECT 'ann', count(*) FROM line;
COMMIT;
-- chaos:step bob
BEGIN;
CREATE TEMPORARY TABLE IF NOT EXISTS line (client text) ON COMMIT DROP;
INSERT INTO line VALUES ('bob');
INSERT INTO report SELECT 'bob', count(*) FROM line;
COMMIT;

-- chaos:session other
-- chaos:step ann
SELECT chaos.assert(to_regclass('line') IS NULL, 'no other connection has the table');

-- chaos:check
SELECT results_eq(
    'SELECT client, lines FROM report ORDER BY client', $$VALUES ('ann', 2::bigint), ('bob', 1::bigint)$$,
    'each client counts its own lines');

-- chaos:mutant the table stays on the connection
-- chaos:session pooled
-- chaos:step ann
BEGIN;
CREATE TEMPORARY TABLE IF NOT EXISTS line (client text);
INSERT INTO line VALUES ('ann'), ('ann');
INSERT INTO report SELECT 'ann', count(*) FROM line;
COMMIT;
-- chaos:step bob
BEGIN;
CREATE TEMPORARY TABLE IF NOT EXISTS line (client text);
INSERT INTO line VALUES ('bob');
INSERT INTO report SELECT 'bob', count(*) FROM line;
COMMIT;
-- chaos:caught by 'each client counts its own lines'

-- chaos:mutant the table stays, and the next client is surprised
-- chaos:session pooled
-- chaos:step ann
CREATE TEMPORARY TABLE line (client text);
-- chaos:step bob
CREATE TEMPORARY TABLE line (client text);
-- chaos:caught by 'duplicate_table'
