-- An import goes on after lines that break a constraint
-- Reference: PostgreSQL docs, SAVEPOINT; "Error Codes", in_failed_sql_transaction
--
-- One of the bad lines is a duplicate of a row that another import has not committed yet: it waits, then fails. Each
-- error is undone back to its savepoint. Without it the block fails as a whole, and COMMIT rolls back without an error.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule other.inserts import.begins import.inserts_two other.ends import.goes_on

-- chaos:setup
CREATE TABLE item (id int PRIMARY KEY, price int NOT NULL CHECK (price > 0));

-- chaos:session other
-- chaos:step inserts
BEGIN;
INSERT INTO item VALUES (2, 99);
-- chaos:step ends
COMMIT;

-- chaos:session import
-- chaos:step begins
BEGIN;
INSERT INTO item VALUES (1, 10);
SAVEPOINT two;
-- chaos:step inserts_two
-- chaos:expect unique_violation
INSERT INTO item VALUES (2, 20);
-- chaos:step goes_on
ROLLBACK TO SAVEPOINT two;
SAVEPOINT three;
-- chaos:expect check_violation
INSERT INTO item VALUES (3, -30);
ROLLBACK TO SAVEPOINT three;
INSERT INTO item VALUES (4, 40);
COMMIT;

-- chaos:check
SELECT results_eq('SELECT * FROM item ORDER BY id', 'VALUES (1, 10), (2, 99), (4, 40)', 'the good lines are in');
SELECT results_eq(
    $$SELECT tag FROM chaos.history WHERE session = 'import' AND statement = 'COMMIT'$$,
    ARRAY['COMMIT'], 'what the import committed is committed');
SELECT results_eq(
    $$SELECT waited_on FROM chaos.history WHERE session = 'import' AND sqlstate = '23505'$$,
    ARRAY['other[1]'], 'the duplicate waited for the other import');

-- chaos:mutant there is no way back
-- chaos:replace 'ROLLBACK TO SAVEPOINT two' with '' in import
-- chaos:caught by 'in_failed_sql_transaction'

-- chaos:mutant the import takes COMMIT at its word
-- chaos:session import
-- chaos:step begins
BEGIN;
INSERT INTO item VALUES (1, 10);
-- chaos:step inserts_two
-- chaos:expect unique_violation
INSERT INTO item VALUES (2, 20);
-- chaos:step goes_on
COMMIT;
-- chaos:caught by 'what the import committed is committed'
-- chaos:caught by 'the good lines are in'

-- chaos:mutant the whole import is rolled back
-- chaos:replace 'ROLLBACK TO SAVEPOINT three' with 'ROLLBACK' in import
-- chaos:caught by 'the good lines are in'

-- chaos:mutant no price is checked
ALTER TABLE item DROP CONSTRAINT item_price_check;
-- chaos:caught by 'check_violation'
