-- TITLE
-- Reference: the incident, a page of the documentation, or a paper
--
-- What happens, in plain words: who does what at the same time, and what goes wrong without which protection.

-- chaos:tags TAGS
-- chaos:timeout 20s

-- every order of the steps, one run for each
-- chaos:schedule all up to 500

-- chaos:setup
-- the smallest tables that show it
CREATE TABLE seat (id int PRIMARY KEY, buyer text);
INSERT INTO seat VALUES (1, NULL);

-- the protection: the condition is in the UPDATE itself
-- chaos:session ann
BEGIN;
UPDATE seat SET buyer = 'Ann' WHERE id = 1 AND buyer IS NULL;
COMMIT;

-- chaos:session bob
BEGIN;
UPDATE seat SET buyer = 'Bob' WHERE id = 1 AND buyer IS NULL;
COMMIT;

-- chaos:check
SELECT is(sum(rows), 1::numeric, 'the seat was sold once') FROM chaos.history WHERE statement LIKE 'UPDATE%';

-- without the protection the assertion above must fail
-- chaos:mutant Bob does not ask whether the seat is free
-- chaos:replace ' AND buyer IS NULL' with '' in bob
-- chaos:caught by 'the seat was sold once'
