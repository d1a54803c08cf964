-- TITLE
-- Reference: the incident, a page of the documentation, or a paper
--
-- What happens, in plain words: who does what at the same time, and what goes wrong without which protection.

-- chaos:tags TAGS
-- chaos:timeout 20s

-- a search for an order of the steps whose outcome no serial order of the transactions has
-- chaos:schedule explore 200
-- chaos:oracle serializable

-- chaos:setup
-- the smallest tables that show it
CREATE TABLE stock (id int PRIMARY KEY, pieces int NOT NULL);
INSERT INTO stock VALUES (1, 10);

-- what each client sends
-- chaos:session shop x CONNECTIONS
BEGIN;
-- the protection: FOR UPDATE
SELECT pieces FROM stock WHERE id = 1 FOR UPDATE \gset
UPDATE stock SET pieces = :pieces - 1 WHERE id = 1;
COMMIT;

-- chaos:check
SELECT is((SELECT pieces FROM stock WHERE id = 1), 10 - CONNECTIONS, 'each sale counts');

-- without the protection the search must find an order that fails
-- chaos:mutant nobody locks the row
-- chaos:replace 'FOR UPDATE' with '' in shop
-- chaos:caught by 'each sale counts'
