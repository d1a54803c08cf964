-- What is rolled back was seen by nobody
-- Reference: Martin Kleppmann, "Hermitage", G1a aborted read
--
-- The reader looks twice.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session writer allow serialization_failure
-- chaos:step writes
BEGIN ISOLATION LEVEL :level;
UPDATE pair SET value = 101 WHERE id = 1;
-- chaos:step gives_up
ROLLBACK;

-- chaos:session reader allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair;
-- chaos:step looks_again
SELECT * FROM pair;
-- chaos:step ends
COMMIT;
