-- Messages of one customer are handled in their order, by several workers
-- Reference: PostgreSQL docs, SELECT, "The Locking Clause": SKIP LOCKED gives "an inconsistent view of the data"
--
-- The first worker holds a customer's first message. A worker that skips locked messages takes the customer's second one,
-- and is ready before the first. Lock the customer, not the message: who has the customer has all its messages.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule slow.claims fast.claims fast.handles slow.handles

-- chaos:setup
CREATE TABLE customer (id int PRIMARY KEY);
CREATE TABLE message (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer, handled boolean NOT NULL DEFAULT false);
CREATE TABLE handled (nr int GENERATED ALWAYS AS IDENTITY, message_id int NOT NULL, worker text NOT NULL);
INSERT INTO customer VALUES (1), (2);
INSERT INTO message VALUES (1, 1), (2, 1), (3, 2);

-- chaos:session slow
-- chaos:step claims
BEGIN;
SELECT id AS customer FROM customer c
 WHERE EXISTS (SELECT FROM message WHERE customer_id = c.id AND NOT handled) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
SELECT id AS message FROM message WHERE customer_id = :customer AND NOT handled ORDER BY id LIMIT 1 \gset
-- chaos:step handles
INSERT INTO handled (message_id, worker) VALUES (:message, 'slow');
UPDATE message SET handled = true WHERE id = :message;
COMMIT;

-- chaos:session fast
-- chaos:step claims
BEGIN;
SELECT id AS customer FROM customer c
 WHERE EXISTS (SELECT FROM message WHERE customer_id = c.id AND NOT handled) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
SELECT id AS message FROM message WHERE customer_id = :customer AND NOT handled ORDER BY id LIMIT 1 \gset
-- chaos:step handles
INSERT INTO handled (message_id, worker) VALUES (:message, 'fast');
UPDATE message SET handled = true WHERE id = :message;
COMMIT;

-- chaos:check
SELECT is_empty(
    $$SELECT FROM message late JOIN handled h ON h.message_id = late.id
       WHERE EXISTS (SELECT FROM message m LEFT JOIN handled g ON g.message_id = m.id
                      WHERE m.customer_id = late.customer_id AND m.id < late.id AND coalesce(g.nr, 99) > h.nr)$$,
    'no message was handled before an earlier one of its customer');
SELECT bag_eq('SELECT worker FROM handled', ARRAY['slow', 'fast'], 'both workers worked');

-- chaos:mutant the message is locked
-- chaos:session fast
-- chaos:step claims
BEGIN;
SELECT id AS message FROM message WHERE NOT handled ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
-- chaos:step handles
INSERT INTO handled (message_id, worker) VALUES (:message, 'fast');
UPDATE message SET handled = true WHERE id = :message;
COMMIT;
-- chaos:session slow
-- chaos:step claims
BEGIN;
SELECT id AS message FROM message WHERE NOT handled ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
-- chaos:step handles
INSERT INTO handled (message_id, worker) VALUES (:message, 'slow');
UPDATE message SET handled = true WHERE id = :message;
COMMIT;
-- chaos:caught by 'no message was handled before an earlier one of its customer'

-- chaos:mutant the newest message first
-- chaos:replace 'AND NOT handled ORDER BY id LIMIT 1' with 'AND NOT handled ORDER BY id DESC LIMIT 1' in slow
-- chaos:caught by 'no message was handled before an earlier one of its customer'
