-- Two MERGE take from the same stock, and the second looks again before it takes
-- Reference: PostgreSQL docs, MERGE, Notes; "Transaction Isolation", Read Committed
--
-- After it has waited for the row, MERGE checks its WHEN conditions again with the new values: the second order finds too
-- little and is put on the waiting list. A condition in the source is not checked again, and the stock goes below zero.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires server >= 15

-- chaos:setup
CREATE TABLE stock (item int PRIMARY KEY, amount int NOT NULL, waiting int NOT NULL DEFAULT 0);
INSERT INTO stock VALUES (1, 10);

-- chaos:session buyer x 2
BEGIN;
MERGE INTO stock USING (VALUES (1, 7)) AS ordered (item, pieces) ON stock.item = ordered.item
 WHEN MATCHED AND amount >= pieces THEN UPDATE SET amount = amount - pieces
 WHEN MATCHED THEN UPDATE SET waiting = waiting + pieces;
-- chaos:barrier ordered unless blocked
COMMIT;

-- chaos:check
SELECT results_eq('SELECT amount, waiting FROM stock', 'VALUES (3, 7)', 'one order is served, the other waits');

-- chaos:mutant the source has looked already
-- chaos:session buyer
BEGIN;
MERGE INTO stock USING (SELECT item, 7 AS pieces, amount >= 7 AS enough FROM stock) AS ordered ON stock.item = ordered.item
 WHEN MATCHED AND enough THEN UPDATE SET amount = amount - pieces
 WHEN MATCHED THEN UPDATE SET waiting = waiting + pieces;
-- chaos:barrier ordered unless blocked
COMMIT;
-- chaos:caught by 'one order is served, the other waits'

-- chaos:mutant what is missing is forgotten
-- chaos:replace 'WHEN MATCHED THEN UPDATE SET waiting = waiting + pieces' with 'WHEN MATCHED THEN DO NOTHING' in buyer
-- chaos:caught by 'one order is served, the other waits'
