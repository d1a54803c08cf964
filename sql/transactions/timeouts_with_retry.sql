-- Time-outs make a transaction give way, and a retry brings it through
-- Reference: PostgreSQL docs, "Client Connection Defaults", lock_timeout and statement_timeout
--
-- A long transaction keeps a row until both others have given way: one by lock_timeout (55P03), the other by
-- statement_timeout (57014, as any cancelled query). What they had done is undone; sent again, both come through.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, amount int NOT NULL);
CREATE TABLE sale (buyer text NOT NULL);
CREATE SEQUENCE buyer_tries;
CREATE SEQUENCE broker_tries;
INSERT INTO stock VALUES (1, 10);

-- chaos:session holder
BEGIN;
UPDATE stock SET amount = amount + 5 WHERE id = 1;
-- chaos:signal held
-- chaos:wait for buyer_tries_again
-- chaos:wait for broker_tries_again
COMMIT;

-- chaos:session buyer retry lock_not_available
-- chaos:wait for held
BEGIN;
SELECT nextval('buyer_tries') > 1 AS again \gset
\if :again
-- chaos:signal buyer_tries_again
\endif
INSERT INTO sale VALUES ('buyer');
SET LOCAL lock_timeout = '20ms';
UPDATE stock SET amount = amount - 1 WHERE id = 1;
COMMIT;

-- chaos:session broker retry query_canceled
-- chaos:wait for held
BEGIN;
SELECT nextval('broker_tries') > 1 AS again \gset
\if :again
-- chaos:signal broker_tries_again
\endif
INSERT INTO sale VALUES ('broker');
SET LOCAL statement_timeout = '50ms';
UPDATE stock SET amount = amount - 1 WHERE id = 1;
COMMIT;

-- chaos:check
SELECT is((SELECT amount FROM stock), 13, 'each sale was taken from stock once');
SELECT bag_eq('TABLE sale', $$VALUES ('buyer'), ('broker')$$, 'each sale was written down once');
SELECT results_eq(
    $$SELECT sqlstate FROM chaos.transactions WHERE session = 'buyer' AND attempt = 1$$,
    ARRAY['55P03'], 'the buyer gave way first');
SELECT results_eq(
    $$SELECT sqlstate FROM chaos.transactions WHERE session = 'broker' AND attempt = 1$$,
    ARRAY['57014'], 'the broker gave way first');

-- chaos:mutant the buyer does not try again
-- chaos:session buyer retry none
-- chaos:wait for held
BEGIN;
INSERT INTO sale VALUES ('buyer');
SET LOCAL lock_timeout = '20ms';
UPDATE stock SET amount = amount - 1 WHERE id = 1;
COMMIT;
-- chaos:signal buyer_tries_again
-- chaos:caught by 'lock_not_available'

-- chaos:mutant the buyer waits for as long as it takes
-- chaos:replace 'SET LOCAL lock_timeout = ''20ms''' with '' in buyer
-- chaos:session holder
BEGIN;
UPDATE stock SET amount = amount + 5 WHERE id = 1;
-- chaos:signal held
-- chaos:wait blocked buyer
COMMIT;
-- chaos:caught by 'the buyer gave way first'

-- chaos:mutant the broker does not know which time-out it has set
-- chaos:replace 'statement_timeout' with 'lock_timeout' in broker
-- chaos:caught by 'lock_not_available'

-- chaos:mutant the holder takes the stock away
-- chaos:replace 'UPDATE stock SET amount = amount + 5' with 'DELETE FROM stock' in holder
-- chaos:caught by 'each sale was taken from stock once'
