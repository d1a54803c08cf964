-- Each writes one of two rows that both have read
-- Reference: Martin Kleppmann, "Hermitage", G2-item write skew
--
-- Neither sees what the other makes of the rows.

-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:schedule all
-- chaos:oracle serializable

-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 10), (2, 20);

-- chaos:session one retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE id IN (1, 2);
-- chaos:step writes
UPDATE pair SET value = 11 WHERE id = 1;
-- chaos:step ends
COMMIT;

-- chaos:session two retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT * FROM pair WHERE id IN (1, 2);
-- chaos:step writes
UPDATE pair SET value = 21 WHERE id = 2;
-- chaos:step ends
COMMIT;
