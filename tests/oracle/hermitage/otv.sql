-- Who was seen does not vanish
-- Reference: Martin Kleppmann, "Hermitage", OTV observed transaction vanishes
--
-- The onlooker sees both rows at once: to look row by row would be read skew, which read committed allows.

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
UPDATE pair SET value = 19 WHERE id = 2;
-- chaos:step ends
COMMIT;

-- chaos:session two allow serialization_failure
-- chaos:step first
BEGIN ISOLATION LEVEL :level;
UPDATE pair SET value = 12 WHERE id = 1;
-- chaos:step second
UPDATE pair SET value = 18 WHERE id = 2;
-- chaos:step ends
COMMIT;

-- chaos:session onlooker allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair;
COMMIT;
