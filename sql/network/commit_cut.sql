-- A payment is made once, though the network is cut before or during its COMMIT
-- Reference: https://brandur.org/idempotency-keys; RFC 793, "Closing a Connection"
--
-- The client sees the same in both cases: the connection is lost, and nobody says whether the COMMIT was done. Before, it
-- never reached the server; during, it was done and the answer was lost. The client sends the whole again, and a key that
-- it chose itself makes that harmless: the payment is found, or made now.

-- chaos:tags concurrent
-- chaos:matrix cut in before, during

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100);
CREATE TABLE payment (key text PRIMARY KEY, amount int NOT NULL);

-- chaos:session shop retry unknown
BEGIN;
WITH paid AS (INSERT INTO payment VALUES ('order 17', 40) ON CONFLICT (key) DO NOTHING RETURNING amount)
UPDATE account SET balance = balance - paid.amount FROM paid WHERE id = 1;
-- chaos:fault cut before when cut = before
-- chaos:fault cut during when cut = during
COMMIT;

-- chaos:check
SELECT is((SELECT balance FROM account), 60, 'the account is debited once');
SELECT is((SELECT count(*) FROM payment), 1::bigint, 'the payment is there once');
SELECT results_eq(
    'SELECT outcome, sqlstate FROM chaos.transactions ORDER BY attempt',
    $$VALUES ('unknown', '08006'), ('committed', '00000')$$, 'the client could not know, and sent it again');

-- chaos:mutant no key when cut = during
-- chaos:replace 'ON CONFLICT (key) DO NOTHING' with 'ON CONFLICT (key) DO UPDATE SET amount = excluded.amount' in shop
-- chaos:caught by 'the account is debited once'

-- chaos:mutant a lost answer is taken for success when cut = before
-- chaos:session shop retry none allow 08006
BEGIN;
WITH paid AS (INSERT INTO payment VALUES ('order 17', 40) ON CONFLICT (key) DO NOTHING RETURNING amount)
UPDATE account SET balance = balance - paid.amount FROM paid WHERE id = 1;
-- chaos:fault cut before
COMMIT;
-- chaos:caught by 'the payment is there once'

-- chaos:mutant a lost answer is taken for failure
-- chaos:session shop retry none
BEGIN;
WITH paid AS (INSERT INTO payment VALUES ('order 17', 40) ON CONFLICT (key) DO NOTHING RETURNING amount)
UPDATE account SET balance = balance - paid.amount FROM paid WHERE id = 1;
-- chaos:fault cut before when cut = before
-- chaos:fault cut during when cut = during
COMMIT;
-- chaos:caught by '08006'
