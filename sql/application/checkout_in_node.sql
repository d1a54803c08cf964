-- A checkout written in Node sells no more than the shop has
-- Reference: https://wiki.postgresql.org/wiki/SSI (lost update); https://node-postgres.com/features/transactions
--
-- The checkout of checkout.sql as a program of Node, checkout.js beside this file. Where node or its library pg is missing, the
-- scenario is skipped: `npm install pg` beside the file, or NODE_PATH, brings it.

-- chaos:tags concurrent
-- chaos:timeout 2min
-- chaos:requires program node with pg
-- chaos:schedule explore 10

-- chaos:setup
CREATE TABLE stock (id int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock VALUES (1, 1);
CREATE TABLE orders (key text NOT NULL UNIQUE);
CREATE TABLE payment (key text NOT NULL, amount int NOT NULL);

-- chaos:session customer x 2 run 'node checkout.js' allow exit 3

-- chaos:check
SELECT is((SELECT pieces FROM stock), 0, 'the piece was sold');
SELECT is((SELECT count(*) FROM payment), 1::bigint, 'one customer paid for it');

-- chaos:mutant the stock is read without a lock
-- chaos:session customer x 2 run 'node checkout.js --racy' allow exit 3
-- chaos:caught by 'one customer paid for it'
