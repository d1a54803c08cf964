-- TITLE
-- Reference: the incident, a page of the documentation, or a paper
--
-- What happens, in plain words: who does what in which order, and what goes wrong without which protection.

-- chaos:tags TAGS
-- chaos:timeout 20s

-- the one order of the steps that is tested: both read before either writes; a step that is blocked waits here
-- chaos:schedule one.reads two.reads one.writes two.writes

-- chaos:setup
-- the smallest tables that show it
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100);

-- chaos:session one
-- chaos:step reads
BEGIN;
-- the protection: FOR UPDATE
SELECT balance FROM account WHERE id = 1 FOR UPDATE \gset
-- chaos:step writes
UPDATE account SET balance = :balance - 10 WHERE id = 1;
COMMIT;

-- chaos:session two
-- chaos:step reads
BEGIN;
SELECT balance FROM account WHERE id = 1 FOR UPDATE \gset
-- chaos:step writes
UPDATE account SET balance = :balance - 20 WHERE id = 1;
COMMIT;

-- chaos:check
SELECT is((SELECT balance FROM account WHERE id = 1), 70, 'each withdrawal counts');

-- without the protection the assertion above must fail
-- chaos:mutant nobody locks the row
-- chaos:replace 'FOR UPDATE' with '' in one
-- chaos:replace 'FOR UPDATE' with '' in two
-- chaos:caught by 'each withdrawal counts'
