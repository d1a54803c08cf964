-- A transaction that idles is ended by the server, and sent again
-- Reference: PostgreSQL docs, "Client Connection Defaults", idle_in_transaction_session_timeout
--
-- A cashier takes a row lock and then talks to the customer. The server ends the transaction with 25P03, and the
-- connection with it; who waits for the lock goes on; the cashier connects again, and does all of it once more.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, quantity int NOT NULL);
INSERT INTO stock VALUES (1, 10);

-- chaos:session cashier retry idle_in_transaction_session_timeout
BEGIN;
UPDATE stock SET quantity = quantity - 1 WHERE id = 1;
SET LOCAL idle_in_transaction_session_timeout = '50ms';
-- chaos:signal sold
-- chaos:wait for delivered
SET LOCAL idle_in_transaction_session_timeout = 0;
COMMIT;

-- chaos:session delivery
-- chaos:wait for sold
UPDATE stock SET quantity = quantity + 5 WHERE id = 1;
-- chaos:signal delivered

-- chaos:check
SELECT is((SELECT quantity FROM stock), 14, 'sold once, delivered once');
SELECT results_eq(
    $$SELECT DISTINCT outcome, sqlstate FROM chaos.transactions WHERE session = 'cashier' ORDER BY outcome$$,
    $$VALUES ('committed', '00000'), ('rolled back', '25P03')$$, 'the server ended it, and then it was done');

-- chaos:mutant nobody tries again
-- chaos:session cashier retry none allow idle_in_transaction_session_timeout
BEGIN;
UPDATE stock SET quantity = quantity - 1 WHERE id = 1;
SET LOCAL idle_in_transaction_session_timeout = '50ms';
-- chaos:signal sold
-- chaos:wait for delivered
COMMIT;
-- chaos:caught by 'sold once, delivered once'

-- chaos:mutant nothing limits the talk
-- chaos:replace '''50ms''' with '0' in cashier
-- chaos:caught by 'timeout'

-- chaos:mutant the delivery takes the shelf away
-- chaos:replace 'UPDATE stock SET quantity = quantity + 5' with 'DELETE FROM stock' in delivery
-- chaos:caught by 'sold once, delivered once'
