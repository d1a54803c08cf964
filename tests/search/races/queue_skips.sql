-- A consumer that reads on behind the last number skips what is committed later
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE message (id serial PRIMARY KEY, seen boolean NOT NULL DEFAULT false);
CREATE TABLE progress (last_id int NOT NULL);
INSERT INTO progress VALUES (0);

-- chaos:session producer x 2
BEGIN;
LOCK TABLE message IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO message DEFAULT VALUES;
COMMIT;

-- chaos:session consumer
SELECT coalesce(max(id), 0) AS last_seen FROM message \gset
UPDATE message SET seen = true WHERE id <= :last_seen;
UPDATE progress SET last_id = :last_seen;

-- chaos:check
SELECT is(count(*), 0::bigint, 'nothing is skipped') FROM message, progress WHERE NOT seen AND id <= last_id;

-- chaos:mutant race
-- chaos:replace 'LOCK TABLE message IN SHARE ROW EXCLUSIVE MODE' with 'SELECT' in producer
-- chaos:caught by 'nothing is skipped'
