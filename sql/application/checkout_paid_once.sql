-- An order is taken once, though the network is cut during the COMMIT of its checkout
-- Reference: PostgreSQL docs, "Transactions"; https://docs.stripe.com/api/idempotent_requests
--
-- The server has committed, and checkout.py does not hear of it: it sees a lost connection, as if nothing had happened, and
-- sends the order again. The key of the customer's click is unique, so that the second time finds the order taken. Without
-- the key the customer pays twice; without the repetition nobody knows whether the order was taken.

-- chaos:tags concurrent
-- chaos:timeout 2min
-- chaos:requires program python with psycopg

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock VALUES (1, 5);
CREATE TABLE orders (key text NOT NULL);
CREATE UNIQUE INDEX orders_key ON orders (key);
CREATE TABLE payment (key text NOT NULL, amount int NOT NULL);

-- chaos:session customer run 'python checkout.py --repeat'
-- chaos:fault cut during on 1st execution of 'COMMIT%'

-- chaos:check
SELECT is((SELECT pieces FROM stock), 4, 'one piece was sold');
SELECT results_eq('SELECT amount FROM payment', ARRAY[10], 'and paid for once');

-- chaos:mutant the order has no key
DROP INDEX orders_key;
-- chaos:session customer run 'python checkout.py --repeat --without-key'
-- chaos:fault cut during on 1st execution of 'COMMIT%'
-- chaos:caught by 'one piece was sold'
-- chaos:caught by 'and paid for once'

-- chaos:mutant the program does not repeat what it does not know
-- chaos:session customer run 'python checkout.py'
-- chaos:fault cut during on 1st execution of 'COMMIT%'
-- chaos:caught by 'exit 1'
