-- What is overwritten before its commit is seen by nobody
-- Reference: Martin Kleppmann, "Hermitage", G1b intermediate read
--
-- The reader looks once: to look twice would be another anomaly, which read committed allows.

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
-- chaos:step writes_again
UPDATE pair SET value = 11 WHERE id = 1;
-- chaos:step ends
COMMIT;

-- chaos:session reader allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair;
-- chaos:step ends
COMMIT;
