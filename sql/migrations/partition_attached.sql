-- A partition is added while a report reads and the shop sells
-- Reference: PostgreSQL docs, "Table Partitioning", Partition Maintenance; ALTER TABLE, ATTACH PARTITION
--
-- ATTACH PARTITION locks the parent with SHARE UPDATE EXCLUSIVE only: it waits for no reader and no writer, and they do
-- not wait for it. CREATE TABLE … PARTITION OF takes ACCESS EXCLUSIVE: it waits for the report, and all others behind it.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.reads migration.adds shop.sells report.ends

-- chaos:setup
CREATE TABLE sale (day date NOT NULL, amount int NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE sale_2025 PARTITION OF sale FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO sale VALUES ('2025-12-31', 10);

-- chaos:session report
-- chaos:step reads
BEGIN;
SELECT sum(amount) FROM sale;
-- chaos:step ends
COMMIT;

-- chaos:session migration
-- chaos:step adds
CREATE TABLE sale_2026 (LIKE sale, CHECK (day >= '2026-01-01' AND day < '2027-01-01'));
ALTER TABLE sale ATTACH PARTITION sale_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

-- chaos:session shop
-- chaos:step sells
INSERT INTO sale VALUES ('2026-01-01', 20);

-- chaos:check
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits');
SELECT results_eq('SELECT amount FROM sale_2026', ARRAY[20], 'the new partition has the new sale');

-- chaos:mutant the partition is created in place
-- chaos:session migration
-- chaos:step adds
CREATE TABLE sale_2026 PARTITION OF sale FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
-- chaos:caught by 'nobody waits'

-- chaos:mutant nobody attaches the new table
-- chaos:session migration
-- chaos:step adds
CREATE TABLE sale_2026 (LIKE sale, CHECK (day >= '2026-01-01' AND day < '2027-01-01'));
-- chaos:caught by 'check_violation'
