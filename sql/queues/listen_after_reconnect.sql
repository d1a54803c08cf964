-- A consumer that lost its connection listens again, and reads what it was not told
-- Reference: PostgreSQL docs, LISTEN and NOTIFY (a listener's registration ends with its session)
--
-- The server keeps no notification for a session that is gone, and the new session listens to nothing. So each connection
-- begins in the same way: LISTEN, then read the table.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE event (id int PRIMARY KEY, handled boolean NOT NULL DEFAULT false);
INSERT INTO event VALUES (1);

-- chaos:session consumer
LISTEN events;
UPDATE event SET handled = true WHERE NOT handled;
-- chaos:signal listens
-- chaos:wait for second_event
-- chaos:expect admin_shutdown
SELECT 'the connection is gone';
LISTEN events;
UPDATE event SET handled = true WHERE NOT handled;
-- chaos:signal listens_again
-- chaos:wait for third_event
SELECT 'notifications arrive with an answer';

-- chaos:session producer
-- chaos:wait for listens
SELECT chaos.terminate('consumer');
BEGIN;
INSERT INTO event VALUES (2);
NOTIFY events, '2';
COMMIT;
-- chaos:signal second_event
-- chaos:wait for listens_again
BEGIN;
INSERT INTO event VALUES (3);
NOTIFY events, '3';
COMMIT;
-- chaos:signal third_event

-- chaos:check
SELECT results_eq('SELECT id FROM event WHERE handled ORDER BY id', ARRAY[1, 2], 'what was written meanwhile was read');
SELECT results_eq('SELECT payload FROM chaos.notifications', ARRAY['3'], 'and the next event was announced');

-- chaos:mutant the new connection does not listen
-- chaos:session consumer
LISTEN events;
UPDATE event SET handled = true WHERE NOT handled;
-- chaos:signal listens
-- chaos:wait for second_event
-- chaos:expect admin_shutdown
SELECT 'the connection is gone';
UPDATE event SET handled = true WHERE NOT handled;
-- chaos:signal listens_again
-- chaos:wait for third_event
SELECT 'notifications arrive with an answer';
-- chaos:caught by 'and the next event was announced'

-- chaos:mutant the new connection waits for a notification
-- chaos:session consumer
LISTEN events;
UPDATE event SET handled = true WHERE NOT handled;
-- chaos:signal listens
-- chaos:wait for second_event
-- chaos:expect admin_shutdown
SELECT 'the connection is gone';
LISTEN events;
-- chaos:signal listens_again
-- chaos:wait for third_event
SELECT 'notifications arrive with an answer';
-- chaos:caught by 'what was written meanwhile was read'
