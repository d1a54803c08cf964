-- Two requests that find nothing create it once
-- Reference: "Feral Concurrency Control", SIGMOD 2015 (check, then insert); PostgreSQL docs, INSERT, "ON CONFLICT Clause"
--
-- SELECT … FOR UPDATE locks the rows that it finds. If there is none yet, it locks nothing, and both requests insert. What
-- protects a row that does not exist is a unique index: the second INSERT waits for the first, and then knows.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE cart (id int GENERATED ALWAYS AS IDENTITY, customer text CONSTRAINT one_cart PRIMARY KEY);

-- chaos:session request x 2
BEGIN;
SELECT count(*) = 0 AS missing FROM (SELECT FROM cart WHERE customer = 'ann' FOR UPDATE) AS found \gset
-- chaos:barrier looked
\if :missing
INSERT INTO cart (customer) VALUES ('ann') ON CONFLICT ON CONSTRAINT one_cart DO NOTHING;
\endif
SELECT chaos.assert(count(*) = 1, 'each request finds one cart') FROM cart WHERE customer = 'ann';
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'there is one cart') FROM cart;

-- chaos:mutant nothing is unique
ALTER TABLE cart DROP CONSTRAINT one_cart;
-- chaos:replace 'ON CONFLICT ON CONSTRAINT one_cart DO NOTHING' with '' in request
-- chaos:caught by 'there is one cart'

-- chaos:mutant nobody expects the conflict
-- chaos:replace 'ON CONFLICT ON CONSTRAINT one_cart DO NOTHING' with '' in request
-- chaos:caught by 'unique_violation'

-- chaos:mutant the transaction has one snapshot
-- chaos:replace 'BEGIN' with 'BEGIN ISOLATION LEVEL REPEATABLE READ' in request
-- chaos:caught by 'serialization_failure'
