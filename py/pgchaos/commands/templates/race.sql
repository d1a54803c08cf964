-- TITLE
-- Reference: the incident, a page of the documentation, or a paper
--
-- What happens, in plain words: who does what at the same time, and what goes wrong without which protection.

-- chaos:tags TAGS
-- chaos:timeout 20s

-- chaos:setup
-- the smallest tables that show it
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 1000);

-- what each client sends
-- chaos:session client x CONNECTIONS
BEGIN;
-- the protection: FOR UPDATE
SELECT balance FROM account WHERE id = 1 FOR UPDATE \gset
-- each client has read, or waits for another
-- chaos:barrier has_read unless blocked
UPDATE account SET balance = :balance - 10 WHERE id = 1;
COMMIT;

-- chaos:check
SELECT is((SELECT balance FROM account WHERE id = 1), 1000 - 10 * CONNECTIONS, 'each withdrawal counts');

-- without the protection the assertion above must fail
-- chaos:mutant nobody locks the row
-- chaos:replace 'FOR UPDATE' with '' in client
-- chaos:caught by 'each withdrawal counts'
