-- A partition is taken away while a report reads and the shop sells
-- Reference: PostgreSQL docs, ALTER TABLE, DETACH PARTITION … CONCURRENTLY
--
-- DETACH waits for the report with ACCESS EXCLUSIVE on the parent, and the shop waits behind it. CONCURRENTLY (from 14
-- on) waits too, but keeps nobody else waiting; and the report sees the partition to its end.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.reads migration.detaches shop.sells report.reads_again

-- chaos:setup
CREATE TABLE sale (day date NOT NULL, amount int NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE sale_2024 PARTITION OF sale FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE sale_2025 PARTITION OF sale FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO sale VALUES ('2024-12-31', 10), ('2025-01-01', 20);

-- chaos:session report
-- chaos:step reads
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT chaos.assert(sum(amount) = 30, 'the report sees both years') FROM sale;
-- chaos:step reads_again
SELECT chaos.assert(sum(amount) = 30, 'the report still sees both years') FROM sale;
COMMIT;

-- chaos:session migration
-- chaos:step detaches
ALTER TABLE sale DETACH PARTITION sale_2024 CONCURRENTLY;

-- chaos:session shop
-- chaos:step sells
INSERT INTO sale VALUES ('2025-06-01', 40);

-- chaos:check
SELECT results_eq(
    $$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$,
    $$VALUES ('migration', 'report[1]')$$, 'the migration waits for the report, and nobody for the migration');
SELECT is((SELECT sum(amount) FROM sale), 60::bigint, 'the old year is no part of it any more');
SELECT is((SELECT sum(amount) FROM sale_2024), 10::bigint, 'it is a table of its own');

-- chaos:mutant the partition is not detached concurrently
-- chaos:replace 'CONCURRENTLY' with '' in migration
-- chaos:caught by 'the migration waits for the report, and nobody for the migration'

-- chaos:mutant the partition is dropped
-- chaos:replace 'ALTER TABLE sale DETACH PARTITION sale_2024 CONCURRENTLY' with 'DELETE FROM sale_2024' in migration
-- chaos:caught by 'the migration waits for the report, and nobody for the migration'
-- chaos:caught by 'it is a table of its own'
