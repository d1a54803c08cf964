-- A request that is sent again while the first is still running is carried out once
-- Reference: https://stripe.com/docs/api/idempotent_requests; https://brandur.org/idempotency-keys
--
-- The client lost patience and sends the same request, with the same key. INSERT … ON CONFLICT DO NOTHING waits for the
-- first request's transaction, and then finds the key taken: the second request gives the stored answer. Who looks for the
-- key first finds none, because the first request has not committed.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE request (key text PRIMARY KEY, answer int);
CREATE TABLE charge (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount int NOT NULL);

-- chaos:session client x 2
BEGIN;
INSERT INTO request VALUES ('key 1') ON CONFLICT (key) DO NOTHING;
SELECT :ROW_COUNT = 1 AS first_time \gset
-- chaos:barrier asked unless blocked
\if :first_time
INSERT INTO charge (amount) VALUES (10) RETURNING id AS charge \gset
UPDATE request SET answer = :charge WHERE key = 'key 1';
\endif
SELECT chaos.assert(answer IS NOT NULL, 'each request gets an answer') FROM request WHERE key = 'key 1';
COMMIT;

-- chaos:check
SELECT results_eq('SELECT amount FROM charge', ARRAY[10], 'the card was charged once');
SELECT results_eq('SELECT answer FROM request', 'SELECT id FROM charge', 'the answer is the charge');

-- chaos:mutant look for the key first
ALTER TABLE request DROP CONSTRAINT request_pkey;
-- chaos:replace 'INSERT INTO request VALUES (''key 1'') ON CONFLICT (key) DO NOTHING' with 'INSERT INTO request SELECT ''key 1'' WHERE NOT EXISTS (SELECT FROM request WHERE key = ''key 1'')' in client
-- chaos:caught by 'the card was charged once'

-- chaos:mutant the key is committed before the work
-- chaos:session client
INSERT INTO request VALUES ('key 1') ON CONFLICT (key) DO NOTHING;
SELECT :ROW_COUNT = 1 AS first_time \gset
-- chaos:barrier asked
SELECT chaos.assert(answer IS NOT NULL, 'each request gets an answer') FROM request WHERE key = 'key 1';
\if :first_time
INSERT INTO charge (amount) VALUES (10) RETURNING id AS charge \gset
UPDATE request SET answer = :charge WHERE key = 'key 1';
\endif
-- chaos:caught by 'each request gets an answer'

-- chaos:mutant the answer is not stored
-- chaos:replace 'SET answer = :charge' with 'SET key = key' in client
-- chaos:caught by 'each request gets an answer'
