-- Two moves in a tree of folders at once, each allowed by itself
-- Reference: Kleppmann et al., "A Highly-Available Move Operation for Replicated Trees", 2021; "write skew"
--
-- One moves a into b, the other b into a. Each looks whether its target lies below what it moves, finds that it does not,
-- and writes another row than the other: a and b end as a circle that is not below the root any more. Moves of one tree take a lock.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule all

-- chaos:setup
CREATE TABLE folder (name text PRIMARY KEY, parent text REFERENCES folder);
INSERT INTO folder VALUES ('root', NULL), ('a', 'root'), ('b', 'root');
CREATE TABLE tree (id int PRIMARY KEY);
INSERT INTO tree VALUES (1);
CREATE VIEW below AS WITH RECURSIVE below (name, above) AS (
    SELECT name, parent FROM folder WHERE parent IS NOT NULL
    UNION SELECT below.name, folder.parent FROM below JOIN folder ON folder.name = above WHERE parent IS NOT NULL
) SELECT name, above FROM below;

-- chaos:session one
-- chaos:step locks
BEGIN;
SELECT id FROM tree WHERE id = 1 FOR UPDATE;
-- chaos:step looks
SELECT count(*) = 0 AS allowed FROM below WHERE name = 'b' AND above = 'a' \gset
-- chaos:step moves
\if :allowed
UPDATE folder SET parent = 'b' WHERE name = 'a';
\endif
COMMIT;

-- chaos:session two
-- chaos:step locks
BEGIN;
SELECT id FROM tree WHERE id = 1 FOR UPDATE;
-- chaos:step looks
SELECT count(*) = 0 AS allowed FROM below WHERE name = 'a' AND above = 'b' \gset
-- chaos:step moves
\if :allowed
UPDATE folder SET parent = 'a' WHERE name = 'b';
\endif
COMMIT;

-- chaos:check
SELECT is((SELECT count(*) FROM below WHERE above = 'root'), 2::bigint, 'each folder is below the root');
SELECT is((SELECT count(*) FROM folder WHERE parent IN ('a', 'b')), 1::bigint, 'one of the moves is done');

-- chaos:mutant only the moved row is locked
-- chaos:replace 'SELECT id FROM tree WHERE id = 1 FOR UPDATE' with 'SELECT name FROM folder WHERE name = ''a'' FOR NO KEY UPDATE' in one
-- chaos:replace 'SELECT id FROM tree WHERE id = 1 FOR UPDATE' with 'SELECT name FROM folder WHERE name = ''b'' FOR NO KEY UPDATE' in two
-- chaos:caught by 'each folder is below the root'

-- chaos:mutant the lock is taken after the look
-- chaos:session two
-- chaos:step looks
BEGIN;
SELECT count(*) = 0 AS allowed FROM below WHERE name = 'a' AND above = 'b' \gset
-- chaos:step locks
SELECT id FROM tree WHERE id = 1 FOR UPDATE;
-- chaos:step moves
\if :allowed
UPDATE folder SET parent = 'a' WHERE name = 'b';
\endif
COMMIT;
-- chaos:caught by 'each folder is below the root'
