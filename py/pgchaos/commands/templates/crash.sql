-- TITLE
-- Reference: the incident, a page of the documentation, or a paper
--
-- What happens, in plain words: what dies when, and what must be true afterwards.

-- chaos:tags TAGS
-- chaos:timeout 30s

-- a server of its own, which may be killed
-- chaos:sandbox server

-- chaos:setup
-- the smallest tables that show it
CREATE TABLE payment (key text PRIMARY KEY, amount int NOT NULL);

-- the client does not know whether its COMMIT arrived, so it sends the transaction again
-- chaos:session shop retry unknown
BEGIN;
-- the protection: the key, and ON CONFLICT DO NOTHING
INSERT INTO payment VALUES ('order 1', 10) ON CONFLICT (key) DO NOTHING;
-- chaos:fault kill during
COMMIT;

-- chaos:check
SELECT is((SELECT sum(amount) FROM payment), 10::bigint, 'the customer paid once');

-- without the protection the assertion above must fail
-- chaos:mutant a second try has a second key
-- chaos:replace '(''order 1'', 10)' with '(''order '' || random(), 10)' in shop
-- chaos:caught by 'the customer paid once'
