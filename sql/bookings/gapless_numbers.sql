-- Invoices are numbered without a gap
-- Reference: PostgreSQL docs, "Sequence Manipulation Functions": nextval is not undone by a rollback
--
-- A number of a sequence is used up even if the invoice is rolled back. A number from a counter's row is given back with the
-- transaction, because the next invoice waits for that row until then. The price is that invoices are written one by one.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule first.writes second.writes first.gives_up second.ends

-- chaos:setup
CREATE TABLE counter (last int NOT NULL);
CREATE TABLE invoice (number int PRIMARY KEY, customer text NOT NULL);
CREATE SEQUENCE invoice_number;
INSERT INTO counter VALUES (0);

-- chaos:session first
-- chaos:step writes
BEGIN;
UPDATE counter SET last = last + 1 RETURNING last AS number \gset
INSERT INTO invoice VALUES (:number, 'first');
-- chaos:step gives_up
ROLLBACK;

-- chaos:session second
-- chaos:step writes
BEGIN;
UPDATE counter SET last = last + 1 RETURNING last AS number \gset
INSERT INTO invoice VALUES (:number, 'second');
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT results_eq('SELECT number, customer FROM invoice', $$VALUES (1, 'second')$$, 'the number that was given back is used');
SELECT is(count(*), 1::bigint, 'the second invoice waited for the first')
  FROM chaos.history WHERE session = 'second' AND waited_on = 'first[1]';

-- chaos:mutant numbers come from a sequence
-- chaos:replace 'UPDATE counter SET last = last + 1 RETURNING last AS number' with 'SELECT nextval(''invoice_number'') AS number' in first
-- chaos:replace 'UPDATE counter SET last = last + 1 RETURNING last AS number' with 'SELECT nextval(''invoice_number'') AS number' in second
-- chaos:caught by 'the number that was given back is used'

-- chaos:mutant the number is drawn in a transaction of its own
-- chaos:session first
-- chaos:step writes
UPDATE counter SET last = last + 1 RETURNING last AS number \gset
BEGIN;
INSERT INTO invoice VALUES (:number, 'first');
-- chaos:step gives_up
ROLLBACK;
-- chaos:caught by 'the number that was given back is used'
