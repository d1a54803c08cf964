-- A migration in batches is killed half way, tried again, and converts each row once
-- Reference: https://gocardless.com/blog/zero-downtime-postgres-migrations-the-hard-parts/
--
-- Prices go from whole units to cents, ten rows at a time. The server dies in the commit of the third batch, when it is
-- durable and the migration was not told so; it sends the batch again. Each batch notes in its own transaction that it
-- is done, so that the second time does nothing.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE item (id int PRIMARY KEY, price int NOT NULL);
INSERT INTO item SELECT id, id FROM generate_series(1, 50) AS id;
CREATE TABLE batch_done (batch int PRIMARY KEY);

-- chaos:session migration repeat 5 retry connection_failure unknown
BEGIN;
WITH todo AS (
    INSERT INTO batch_done VALUES (:iteration) ON CONFLICT DO NOTHING RETURNING batch
)
UPDATE item SET price = price * 100 FROM todo WHERE (id + 9) / 10 = batch;
-- chaos:fault crash during on 3rd execution
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'the migration was killed in a commit') FROM chaos.transactions WHERE outcome = 'unknown';
SELECT results_eq(
    'SELECT id, price FROM item ORDER BY id',
    'SELECT id, id * 100 FROM generate_series(1, 50) AS id', 'each price was converted once');
SELECT is(count(*), 5::bigint, 'all batches are done') FROM batch_done;

-- chaos:mutant nothing is killed
-- chaos:session migration
BEGIN;
WITH todo AS (
    INSERT INTO batch_done VALUES (:iteration) ON CONFLICT DO NOTHING RETURNING batch
)
UPDATE item SET price = price * 100 FROM todo WHERE (id + 9) / 10 = batch;
COMMIT;
-- chaos:caught by 'the migration was killed in a commit'

-- chaos:mutant a batch does not look whether it is done
-- chaos:replace 'ON CONFLICT DO NOTHING' with 'ON CONFLICT (batch) DO UPDATE SET batch = excluded.batch' in migration
-- chaos:caught by 'each price was converted once'

-- chaos:mutant it is not tried again
-- chaos:session migration repeat 3 retry none allow connection_failure
BEGIN;
-- chaos:fault crash before on 3rd execution
WITH todo AS (
    INSERT INTO batch_done VALUES (:iteration) ON CONFLICT DO NOTHING RETURNING batch
)
UPDATE item SET price = price * 100 FROM todo WHERE (id + 9) / 10 = batch;
COMMIT;
-- chaos:caught by 'all batches are done'

-- chaos:mutant converted items are deleted
-- chaos:replace 'UPDATE item SET price = price * 100 FROM todo' with 'DELETE FROM item USING todo' in migration
-- chaos:caught by 'each price was converted once'
