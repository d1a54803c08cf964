-- An order is paid once, although the customer clicks twice
-- Reference: PostgreSQL docs, "Transaction Isolation", Read Committed (an UPDATE looks again at a row that it waited for)
--
-- The state is in the WHERE of the UPDATE that changes it, and the number of rows says who won. The second click waits for
-- the first, finds the order paid, and updates nothing. Whoever looks first has looked too early.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY, state text NOT NULL DEFAULT 'open');
CREATE TABLE payment (order_id int NOT NULL, click int NOT NULL);
INSERT INTO orders VALUES (1);

-- chaos:session click x 2
BEGIN;
UPDATE orders SET state = 'paid' WHERE id = 1 AND state = 'open';
SELECT :ROW_COUNT = 1 AS pays \gset
-- chaos:barrier looked unless blocked
\if :pays
INSERT INTO payment VALUES (1, :worker);
\endif
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'the order was paid once') FROM payment;
SELECT results_eq('SELECT state FROM orders', ARRAY['paid'], 'the order is paid');
SELECT is(count(*), 2::bigint, 'both clicks got an answer') FROM chaos.transactions WHERE outcome = 'committed';

-- chaos:mutant look, then pay
-- chaos:session click
BEGIN;
SELECT state = 'open' AS pays FROM orders WHERE id = 1 \gset
-- chaos:barrier looked
\if :pays
UPDATE orders SET state = 'paid' WHERE id = 1;
INSERT INTO payment VALUES (1, :worker);
\endif
COMMIT;
-- chaos:caught by 'the order was paid once'

-- chaos:mutant the update does not look at the state
-- chaos:replace 'AND state = ''open''' with '' in click
-- chaos:caught by 'the order was paid once'

-- chaos:mutant the number of rows is not looked at
-- chaos:replace ':ROW_COUNT = 1' with 'true' in click
-- chaos:caught by 'the order was paid once'
