-- An order and its event are stored together or not at all
-- Reference: https://microservices.io/patterns/data/transactional-outbox.html
--
-- A shop that stores an order and announces it can be stopped between the two. With the event in a table, written in the
-- order's transaction, one cannot be stored without the other. The connection is ended at each statement in turn.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE outbox (order_id int PRIMARY KEY);

-- chaos:session shop allow admin_shutdown connection_failure
-- chaos:fault terminate at any step
BEGIN;
INSERT INTO orders VALUES (1);
INSERT INTO outbox VALUES (1);
COMMIT;

-- chaos:check
SELECT bag_eq('SELECT id FROM orders', 'SELECT order_id FROM outbox', 'each order has its event');

-- chaos:mutant the event is written in its own transaction
-- chaos:session shop
-- chaos:fault terminate at any step
BEGIN;
INSERT INTO orders VALUES (1);
COMMIT;
INSERT INTO outbox VALUES (1);
-- chaos:caught by 'each order has its event'

-- chaos:mutant the event is written first
-- chaos:session shop
-- chaos:fault terminate at any step
INSERT INTO outbox VALUES (1);
BEGIN;
INSERT INTO orders VALUES (1);
COMMIT;
-- chaos:caught by 'each order has its event'
