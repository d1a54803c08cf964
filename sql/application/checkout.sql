-- A shop sells no more than it has, in whatever order the requests of two checkouts come
-- Reference: https://wiki.postgresql.org/wiki/SSI (lost update); PostgreSQL docs, SELECT FOR UPDATE
--
-- The sessions are programs: checkout.py beside this file, as a customer's click starts it. It reads the stock, and writes
-- back one less. Between the two another checkout can do the same, and both sell the last piece. FOR UPDATE makes the second
-- one wait, and it finds the stock sold out (exit status 3).

-- chaos:tags concurrent
-- chaos:timeout 2min
-- chaos:requires program python with psycopg
-- chaos:schedule explore 10

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock VALUES (1, 1);
CREATE TABLE orders (key text NOT NULL UNIQUE);
CREATE TABLE payment (key text NOT NULL, amount int NOT NULL);

-- chaos:session customer x 2 run 'python checkout.py --user :worker' allow exit 3

-- chaos:check
SELECT is((SELECT pieces FROM stock), 0, 'the piece was sold');
SELECT is((SELECT count(*) FROM payment), 1::bigint, 'one customer paid for it');

-- chaos:mutant the stock is read without a lock
-- chaos:session customer x 2 run 'python checkout.py --user :worker --racy' allow exit 3
-- chaos:caught by 'one customer paid for it'
