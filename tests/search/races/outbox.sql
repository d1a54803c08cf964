-- A message of the outbox is published twice
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE outbox (id int PRIMARY KEY, published boolean NOT NULL DEFAULT false);
CREATE TABLE sent (outbox_id int NOT NULL, publisher int NOT NULL);
INSERT INTO outbox VALUES (1);

-- chaos:session publisher x 2
BEGIN;
SELECT coalesce((SELECT id FROM outbox WHERE NOT published ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED), 0) AS next \gset
INSERT INTO sent SELECT :next, :worker WHERE :next > 0;
UPDATE outbox SET published = true WHERE id = :next;
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'it was published once') FROM sent;

-- chaos:mutant race
-- chaos:replace 'FOR UPDATE SKIP LOCKED' with '' in publisher
-- chaos:caught by 'it was published once'
