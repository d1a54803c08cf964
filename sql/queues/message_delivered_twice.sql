-- A message that is delivered twice has its effect once
-- Reference: https://www.enterpriseintegrationpatterns.com/patterns/messaging/IdempotentReceiver.html
--
-- The consumer loses its connection after its commit and before it could say "done", so the broker delivers the message
-- again. The number of the message is stored in the transaction that has the effect: the second delivery finds it there.
-- The first connection is ended at each statement in turn.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE handled (message_id int PRIMARY KEY);
INSERT INTO account VALUES (1, 100);

-- chaos:session delivery allow admin_shutdown connection_failure
-- chaos:fault terminate at any step
BEGIN;
INSERT INTO handled VALUES (7);
UPDATE account SET balance = balance + 10 WHERE id = 1;
COMMIT;
SELECT 'done';
-- chaos:signal delivered

-- chaos:session second_delivery
-- chaos:wait for delivered
BEGIN;
INSERT INTO handled VALUES (7) ON CONFLICT DO NOTHING;
UPDATE account SET balance = balance + 10 WHERE id = 1 AND :ROW_COUNT = 1;
COMMIT;

-- chaos:check
SELECT is((SELECT balance FROM account), 110, 'the money was paid in once');

-- chaos:mutant the message is noted in a transaction of its own
-- chaos:session delivery
-- chaos:fault terminate at any step
INSERT INTO handled VALUES (7);
UPDATE account SET balance = balance + 10 WHERE id = 1;
SELECT 'done';
-- chaos:signal delivered
-- chaos:caught by 'the money was paid in once'

-- chaos:mutant nobody looks whether the message was handled
-- chaos:replace 'AND :ROW_COUNT = 1' with '' in second_delivery
-- chaos:caught by 'the money was paid in once'
