-- A consumer that remembers the last number it has seen misses no row
-- Reference: PostgreSQL docs, "Sequence Manipulation Functions": numbers are drawn in an order, rows appear in another
--
-- A slow transaction draws number 1, a fast one number 2 and commits. A consumer that reads "everything after the last
-- number" sees 2, remembers it, and never sees 1. The lock below waits until all writers have committed; those that come
-- later get higher numbers.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule slow.writes fast.writes consumer.polls slow.ends consumer.polls_again

-- chaos:setup
CREATE TABLE event (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, writer text NOT NULL);
CREATE TABLE handled (event_id int NOT NULL);

-- chaos:session slow
-- chaos:step writes
BEGIN;
INSERT INTO event (writer) VALUES ('slow');
-- chaos:step ends
COMMIT;

-- chaos:session fast
-- chaos:step writes
INSERT INTO event (writer) VALUES ('fast');

-- chaos:session consumer
-- chaos:step polls
BEGIN;
LOCK TABLE event IN SHARE MODE;
INSERT INTO handled SELECT id FROM event WHERE id > (SELECT coalesce(max(event_id), 0) FROM handled);
COMMIT;
-- chaos:step polls_again
BEGIN;
LOCK TABLE event IN SHARE MODE;
INSERT INTO handled SELECT id FROM event WHERE id > (SELECT coalesce(max(event_id), 0) FROM handled);
COMMIT;

-- chaos:check
SELECT results_eq('SELECT event_id FROM handled ORDER BY event_id', ARRAY[1, 2], 'each event was handled once');
SELECT is(count(*), 1::bigint, 'the consumer waited for the slow writer')
  FROM chaos.history WHERE session = 'consumer' AND waited_on = 'slow[1]';

-- chaos:mutant the consumer does not wait for writers
-- chaos:session consumer
-- chaos:step polls
INSERT INTO handled SELECT id FROM event WHERE id > (SELECT coalesce(max(event_id), 0) FROM handled);
-- chaos:step polls_again
INSERT INTO handled SELECT id FROM event WHERE id > (SELECT coalesce(max(event_id), 0) FROM handled);
-- chaos:caught by 'each event was handled once'

-- chaos:mutant the consumer looks before it locks
-- chaos:session consumer
-- chaos:step polls
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM event;
LOCK TABLE event IN SHARE MODE;
INSERT INTO handled SELECT id FROM event WHERE id > (SELECT coalesce(max(event_id), 0) FROM handled);
COMMIT;
-- chaos:step polls_again
INSERT INTO handled SELECT id FROM event WHERE id > (SELECT coalesce(max(event_id), 0) FROM handled);
-- chaos:caught by 'each event was handled once'
