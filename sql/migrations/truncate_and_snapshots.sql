-- A report in one snapshot does not notice that a table is emptied meanwhile
-- Reference: PostgreSQL docs, "Concurrency Control", Caveats; TRUNCATE, Notes
--
-- The report's snapshot is older than the clean-up, so it must see all events. DELETE keeps them for it. TRUNCATE is not
-- MVCC-safe: once committed, the table is empty for old snapshots too, if they have not locked it before by reading it.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule report.begins cleaner.empties report.reads

-- chaos:setup
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE event (id int PRIMARY KEY, customer_id int NOT NULL);
INSERT INTO customer VALUES (1), (2);
INSERT INTO event VALUES (1, 1), (2, 1), (3, 2);

-- chaos:session report
-- chaos:step begins
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM customer;
-- chaos:step reads
SELECT chaos.assert(count(*) = 3, 'the report sees the events of its snapshot') FROM event;
COMMIT;

-- chaos:session cleaner
-- chaos:step empties
DELETE FROM event;

-- chaos:check
SELECT is_empty('SELECT * FROM event', 'the events are gone for all others');

-- chaos:mutant the table is truncated
-- chaos:replace 'DELETE FROM event' with 'TRUNCATE event' in cleaner
-- chaos:caught by 'the report sees the events of its snapshot'

-- chaos:mutant the report is not in one snapshot
-- chaos:replace 'ISOLATION LEVEL REPEATABLE READ' with 'ISOLATION LEVEL READ COMMITTED' in report
-- chaos:caught by 'the report sees the events of its snapshot'
