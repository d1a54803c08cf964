-- A row comes in between two looks
-- Reference: Martin Kleppmann, "Hermitage", PMP predicate-many-preceders
--
-- The second look asks for other rows than the first; both ask for the new one.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session reader allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE value = 30;
-- chaos:step looks_again
SELECT * FROM pair WHERE value % 3 = 0;
-- chaos:step ends
COMMIT;

-- chaos:session writer allow serialization_failure
-- chaos:step adds
BEGIN ISOLATION LEVEL :level;
INSERT INTO pair VALUES (3, 30);
-- chaos:step ends
COMMIT;
