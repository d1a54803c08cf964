-- Two writers of the same two rows do not mix
-- Reference: Martin Kleppmann, "Hermitage", G0 dirty write
--
-- What is left is the work of one or of the other.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session one allow serialization_failure
-- chaos:step first
BEGIN ISOLATION LEVEL :level;
UPDATE pair SET value = 11 WHERE id = 1;
-- chaos:step second
UPDATE pair SET value = 21 WHERE id = 2;
-- chaos:step ends
COMMIT;

-- chaos:session two allow serialization_failure
-- chaos:step first
BEGIN ISOLATION LEVEL :level;
UPDATE pair SET value = 12 WHERE id = 1;
-- chaos:step second
UPDATE pair SET value = 22 WHERE id = 2;
-- chaos:step ends
COMMIT;
