-- A cancelled DETACH PARTITION … CONCURRENTLY is half done, and has to be finished
-- Reference: PostgreSQL docs, ALTER TABLE, DETACH PARTITION … FINALIZE
--
-- Its first transaction has marked the partition, the second waits for a report and is cancelled. New queries do not see
-- the rows any more, the catalog says "pending", and DETACH once more fails with 55000. FINALIZE does the second half.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE sale (day date NOT NULL, amount int NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE sale_2024 PARTITION OF sale FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO sale VALUES ('2024-12-31', 10);

-- chaos:session report
BEGIN;
SELECT sum(amount) FROM sale;
-- chaos:signal reading
-- chaos:wait for cancelled
COMMIT;
-- chaos:signal read

-- chaos:session migration
-- chaos:wait for reading
-- chaos:expect query_canceled
-- chaos:fault cancel when blocked
ALTER TABLE sale DETACH PARTITION sale_2024 CONCURRENTLY;
SELECT chaos.assert(inhdetachpending, 'it is half detached') FROM pg_inherits WHERE inhrelid = 'sale_2024'::regclass;
SELECT chaos.assert(count(*) = 0, 'and its rows are gone from the table') FROM sale;
-- chaos:expect object_not_in_prerequisite_state
ALTER TABLE sale DETACH PARTITION sale_2024 CONCURRENTLY;
-- chaos:signal cancelled
-- chaos:wait for read
ALTER TABLE sale DETACH PARTITION sale_2024 FINALIZE;

-- chaos:check
SELECT is_empty($$SELECT * FROM pg_inherits WHERE inhrelid = 'sale_2024'::regclass$$, 'the partition is detached');
SELECT is((SELECT sum(amount) FROM sale_2024), 10::bigint, 'with its rows');

-- chaos:mutant nobody finishes it
-- chaos:replace 'ALTER TABLE sale DETACH PARTITION sale_2024 FINALIZE' with '' in migration
-- chaos:caught by 'the partition is detached'

-- chaos:mutant it was not detached concurrently
-- chaos:replace 'FINALIZE' with 'CONCURRENTLY' in migration
-- chaos:caught by 'object_not_in_prerequisite_state'
