-- Two MERGE of the same new key at once
-- Reference: PostgreSQL docs, MERGE, Notes; "Transaction Isolation", Read Committed
--
-- MERGE looks whether the row is there, and inserts if it is not. Two at once both find nothing: the second waits in the
-- unique index and fails with 23505. It is no INSERT … ON CONFLICT; who uses it must send it again, or lock first.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires server >= 15

-- chaos:setup
CREATE TABLE visits (page text CONSTRAINT visits_page PRIMARY KEY, count int NOT NULL);

-- chaos:session visitor x 2 retry unique_violation
BEGIN;
MERGE INTO visits USING (VALUES ('home')) AS new (page) ON visits.page = new.page
 WHEN MATCHED THEN UPDATE SET count = visits.count + 1
 WHEN NOT MATCHED THEN INSERT VALUES (new.page, 1);
-- chaos:barrier merged unless blocked
COMMIT;

-- chaos:check
SELECT results_eq('SELECT page, count FROM visits', $$VALUES ('home', 2)$$, 'both visits are counted in one row');
SELECT is(
    (SELECT count(*) FROM chaos.transactions WHERE sqlstate = '23505'), 1::bigint, 'one of them was sent again');

-- chaos:mutant nobody tries again
-- chaos:session visitor retry none allow unique_violation
BEGIN;
MERGE INTO visits USING (VALUES ('home')) AS new (page) ON visits.page = new.page
 WHEN MATCHED THEN UPDATE SET count = visits.count + 1
 WHEN NOT MATCHED THEN INSERT VALUES (new.page, 1);
-- chaos:barrier merged unless blocked
COMMIT;
-- chaos:caught by 'both visits are counted in one row'

-- chaos:mutant nothing is unique
ALTER TABLE visits DROP CONSTRAINT visits_page;
-- chaos:caught by 'both visits are counted in one row'

-- chaos:mutant INSERT … ON CONFLICT, which does not fail
-- chaos:session visitor
BEGIN;
INSERT INTO visits VALUES ('home', 1) ON CONFLICT (page) DO UPDATE SET count = visits.count + 1;
-- chaos:barrier merged unless blocked
COMMIT;
-- chaos:caught by 'one of them was sent again'
