-- A statement that was cut off is sent again only if it may be done twice
-- Reference: PostgreSQL docs, "Autocommit" in psql; https://aws.amazon.com/builders-library/making-retries-safe-with-idempotent-APIs/
--
-- A client sends a statement in a transaction of its own, and the network is cut before the answer. It was done: the server does
-- not need its client for that. `SET amount = amount - 1` again takes two; `SET amount = 9` twice is the same as once.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL);
INSERT INTO stock VALUES (1, 10);
CREATE TABLE taken (request text PRIMARY KEY);

-- chaos:session client retry 08006 unknown
-- chaos:fault cut during
WITH first_time AS (INSERT INTO taken VALUES ('request 1') ON CONFLICT DO NOTHING RETURNING request)
UPDATE stock SET amount = amount - 1 FROM first_time;

-- chaos:check
SELECT is((SELECT amount FROM stock), 9, 'one was taken');
SELECT is((SELECT count(*) FROM chaos.transactions), 2::bigint, 'and the statement was sent twice');

-- chaos:mutant the statement is not asked for by its request
-- chaos:session client retry 08006 unknown
-- chaos:fault cut during
UPDATE stock SET amount = amount - 1;
-- chaos:caught by 'one was taken'

-- chaos:mutant the client does not send it again
-- chaos:session client allow 08006 retry none
-- chaos:fault cut during
WITH first_time AS (INSERT INTO taken VALUES ('request 1') ON CONFLICT DO NOTHING RETURNING request)
UPDATE stock SET amount = amount - 1 FROM first_time;
-- chaos:caught by 'and the statement was sent twice'
