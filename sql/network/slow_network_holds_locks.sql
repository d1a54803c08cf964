-- A lock is held for as many round trips as its transaction has
-- Reference: https://use-the-index-luke.com/; PostgreSQL docs, "Explicit Locking" (keep transactions short)
--
-- Each statement of a transaction is a round trip, and its locks are held meanwhile. Over a network of 40 ms, a transaction of
-- four statements holds a row for 160 ms, and who waits for it waits that long. In one statement the row is held for no round
-- trip at all: it is locked and released on the server.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO counter VALUES (1, 0);

-- chaos:session far
-- chaos:fault latency 40ms
SELECT 'the network is slow from here on';
UPDATE counter SET n = n + 1 WHERE id = 1;
-- chaos:signal written

-- chaos:session near
-- chaos:wait for written
UPDATE counter SET n = n + 1 WHERE id = 1;

-- chaos:check
SELECT is((SELECT n FROM counter), 2, 'both are counted');
SELECT is((SELECT max(waited_on) FROM chaos.history WHERE session = 'near'), '', 'nobody waits for the slow one');

-- chaos:mutant the far client locks the row, and writes it by another statement
-- chaos:session far
-- chaos:fault latency 40ms
SELECT 'the network is slow from here on';
BEGIN;
SELECT n FROM counter WHERE id = 1 FOR UPDATE;
-- chaos:signal written
UPDATE counter SET n = n + 1 WHERE id = 1;
COMMIT;
-- chaos:caught by 'nobody waits for the slow one'
