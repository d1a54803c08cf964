-- A child is left without its parent
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (parent_id int NOT NULL CONSTRAINT child_parent REFERENCES parent);
INSERT INTO parent VALUES (1);

-- chaos:session adder allow foreign_key_violation
SELECT count(*) = 1 AS there FROM parent WHERE id = 1 \gset
\if :there
INSERT INTO child VALUES (1);
\endif

-- chaos:session remover allow foreign_key_violation
SELECT count(*) = 0 AS childless FROM child WHERE parent_id = 1 \gset
\if :childless
DELETE FROM parent WHERE id = 1;
\endif

-- chaos:check
SELECT is(count(*), 0::bigint, 'no child is without its parent')
  FROM child WHERE NOT EXISTS (SELECT FROM parent WHERE id = parent_id);

-- chaos:mutant race
ALTER TABLE child DROP CONSTRAINT child_parent;
-- chaos:caught by 'no child is without its parent'
