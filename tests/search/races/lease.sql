-- A lease is taken twice
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE lease (name text PRIMARY KEY, owner int);
CREATE TABLE work (worker int NOT NULL);
INSERT INTO lease VALUES ('leader', NULL);

-- chaos:session candidate x 2
WITH taken AS (UPDATE lease SET owner = :worker WHERE name = 'leader' AND owner IS NULL RETURNING 1)
SELECT count(*) > 0 AS mine FROM taken \gset
\if :mine
INSERT INTO work VALUES (:worker);
\endif

-- chaos:check
SELECT is(count(*), 1::bigint, 'one of them leads') FROM work;

-- chaos:mutant race
-- chaos:session candidate
SELECT owner IS NULL AS mine FROM lease WHERE name = 'leader' \gset
\if :mine
UPDATE lease SET owner = :worker WHERE name = 'leader';
INSERT INTO work VALUES (:worker);
\endif
-- chaos:caught by 'one of them leads'
