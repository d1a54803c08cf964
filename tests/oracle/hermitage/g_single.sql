-- One row as it was, the other as it became
-- Reference: Martin Kleppmann, "Hermitage", G-single read skew
--
-- The writer reads both rows and changes both.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session reader allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE id = 1;
-- chaos:step looks_again
SELECT * FROM pair WHERE id = 2;
-- chaos:step ends
COMMIT;

-- chaos:session writer allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE id = 1;
SELECT * FROM pair WHERE id = 2;
-- chaos:step first
UPDATE pair SET value = 12 WHERE id = 1;
-- chaos:step second
UPDATE pair SET value = 18 WHERE id = 2;
-- chaos:step ends
COMMIT;
