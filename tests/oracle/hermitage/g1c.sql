-- Nobody sees the work of who sees his
-- Reference: Martin Kleppmann, "Hermitage", G1c circular information flow
--
-- Each reads what the other writes. Their reads take a lock: without, neither would see the other at read committed,
-- and that is write skew, not this case.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session one allow serialization_failure deadlock_detected
-- chaos:step writes
BEGIN ISOLATION LEVEL :level;
UPDATE pair SET value = 11 WHERE id = 1;
-- chaos:step looks
SELECT * FROM pair WHERE id = 2 FOR SHARE;
-- chaos:step ends
COMMIT;

-- chaos:session two allow serialization_failure deadlock_detected
-- chaos:step writes
BEGIN ISOLATION LEVEL :level;
UPDATE pair SET value = 22 WHERE id = 2;
-- chaos:step looks
SELECT * FROM pair WHERE id = 1 FOR SHARE;
-- chaos:step ends
COMMIT;
