-- Each adds a row that the other has looked for
-- Reference: Martin Kleppmann, "Hermitage", G2 anti-dependency cycle
--
-- Both look for the same rows, find none, and add one each.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session one retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE value % 3 = 0;
-- chaos:step adds
INSERT INTO pair VALUES (3, 30);
-- chaos:step ends
COMMIT;

-- chaos:session two retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE value % 3 = 0;
-- chaos:step adds
INSERT INTO pair VALUES (4, 42);
-- chaos:step ends
COMMIT;
