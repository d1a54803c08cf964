-- A transfer is made once, at whichever statement the network is cut
-- Reference: https://microservices.io/patterns/communication-style/idempotent-consumer.html
--
-- The network is cut before, during or after any statement, and the client sends its transaction again. What was lost
-- inside a block is undone with it. Only for COMMIT nobody knows, and there the key decides.

-- chaos:tags concurrent
-- chaos:matrix moment in before, during, after

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 0);
CREATE TABLE transfer (key text PRIMARY KEY);

-- chaos:session bank retry 08006 unknown
BEGIN;
-- chaos:fault cut before at any step when moment = before
-- chaos:fault cut during at any step when moment = during
-- chaos:fault cut after at any step when moment = after
SELECT balance FROM account WHERE id = 1 FOR UPDATE;
WITH new AS (INSERT INTO transfer VALUES ('rent') ON CONFLICT DO NOTHING RETURNING key)
UPDATE account SET balance = balance + CASE id WHEN 1 THEN -30 ELSE 30 END FROM new;
COMMIT;

-- chaos:check
SELECT results_eq('SELECT balance FROM account ORDER BY id', ARRAY[70, 30], 'the transfer is made once');
SELECT is((SELECT count(*) FROM transfer), 1::bigint, 'and written down once');

-- chaos:mutant no key when moment = during
-- chaos:replace 'key text PRIMARY KEY' with 'key text' in setup
-- chaos:caught by 'the transfer is made once'

-- chaos:mutant no transaction when moment = during
-- chaos:session bank retry 08006 unknown
INSERT INTO transfer VALUES ('rent') ON CONFLICT DO NOTHING;
UPDATE account SET balance = balance - 30 WHERE id = 1;
-- chaos:fault cut during at any step
UPDATE account SET balance = balance + 30 WHERE id = 2;
-- chaos:caught by 'the transfer is made once'

-- chaos:mutant a transaction that was lost is not sent again when moment = before
-- chaos:session bank retry none allow 08006
BEGIN;
-- chaos:fault cut before at any step
WITH new AS (INSERT INTO transfer VALUES ('rent') ON CONFLICT DO NOTHING RETURNING key)
UPDATE account SET balance = balance + CASE id WHEN 1 THEN -30 ELSE 30 END FROM new;
COMMIT;
-- chaos:caught by 'the transfer is made once'
