-- A consumer that reads its queue and listens misses no event, whenever it is written
-- Reference: PostgreSQL docs, LISTEN, Notes (first LISTEN and commit, then look at the tables)
--
-- An event that is committed after the consumer has read and before it listens is seen by neither: it lies in the table
-- until the next one comes. LISTEN first, then read: an event may then be seen twice, but it is seen. All orders are run.

-- chaos:tags concurrent
-- chaos:timeout 30s
-- chaos:schedule all

-- chaos:setup
CREATE TABLE event (id int PRIMARY KEY);
CREATE TABLE seen (id int);

-- chaos:session consumer
-- chaos:step listens
LISTEN events;
-- chaos:step reads
INSERT INTO seen SELECT id FROM event;

-- chaos:session producer
-- chaos:step writes
BEGIN;
INSERT INTO event VALUES (1);
NOTIFY events, '1';
-- chaos:step commits
COMMIT;

-- chaos:check
SELECT ok(
    EXISTS (SELECT FROM seen UNION ALL SELECT FROM chaos.notifications WHERE session = 'consumer'),
    'the event was read, or the consumer was notified');

-- chaos:mutant read first, then listen
-- chaos:session consumer
-- chaos:step reads
INSERT INTO seen SELECT id FROM event;
-- chaos:step listens
LISTEN events;
-- chaos:caught by 'the event was read, or the consumer was notified'

-- chaos:mutant the table is read in the transaction that listens
-- chaos:session consumer
-- chaos:step reads
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO seen SELECT id FROM event;
-- chaos:step listens
LISTEN events;
COMMIT;
-- chaos:caught by 'the event was read, or the consumer was notified'
