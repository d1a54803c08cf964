-- An index is built anew while a report reads and the shop sells
-- Reference: PostgreSQL docs, REINDEX, "Rebuilding Indexes Concurrently"
--
-- REINDEX locks writers out of the table, and then waits for whoever has read by the index: for the report, with the shop
-- behind it. REINDEX CONCURRENTLY waits for the report too, but the shop goes on.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.reads dba.reindexes shop.sells report.ends

-- chaos:setup
CREATE TABLE sale (id int GENERATED ALWAYS AS IDENTITY, item int NOT NULL);
CREATE INDEX sale_item ON sale (item);
INSERT INTO sale (item) SELECT n % 10 FROM generate_series(1, 100) AS n;
CREATE TABLE before_it AS SELECT pg_relation_filenode('sale_item') AS filenode;

-- chaos:session report
-- chaos:step reads
BEGIN;
SELECT count(*) FROM sale WHERE item = 7;
-- chaos:step ends
COMMIT;

-- chaos:session dba
-- chaos:step reindexes
REINDEX INDEX CONCURRENTLY sale_item;

-- chaos:session shop
-- chaos:step sells
INSERT INTO sale (item) VALUES (7);

-- chaos:check
SELECT results_eq(
    $$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$,
    $$VALUES ('dba', 'report[1]')$$, 'the rebuild waits for the report, and nobody for the rebuild');
SELECT isnt(pg_relation_filenode('sale_item'), (SELECT filenode FROM before_it), 'the index is built anew');
SET enable_seqscan = off;
SELECT is((SELECT count(*) FROM sale WHERE item = 7), 11::bigint, 'and finds what was sold meanwhile');

-- chaos:mutant the index is not rebuilt concurrently
-- chaos:replace 'CONCURRENTLY' with '' in dba
-- chaos:caught by 'the rebuild waits for the report, and nobody for the rebuild'

-- chaos:mutant another index is rebuilt
CREATE INDEX sale_id ON sale (id);
-- chaos:replace 'sale_item' with 'sale_id' in dba
-- chaos:caught by 'the index is built anew'
