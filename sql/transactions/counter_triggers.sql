-- Two imports post into the same two forums, and a trigger counts the posts
-- Reference: netboxlabs/diode#540; magnusvk/counter_culture#120; PostgreSQL docs, "Explicit Locking", Deadlocks
--
-- The trigger updates the forum's row with each post, so each import holds its first forum and waits for the other's: a
-- deadlock, in statements that write different rows. Adding a row to a table of changes locks nothing that others need.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule one.posts two.posts one.posts_again two.posts_again

-- chaos:setup
CREATE TABLE forum (id int PRIMARY KEY, posts int NOT NULL DEFAULT 0);
CREATE TABLE forum_change (forum_id int NOT NULL, posts int NOT NULL);
CREATE TABLE post (forum_id int NOT NULL);
INSERT INTO forum VALUES (1), (2);
CREATE FUNCTION count_post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO forum_change VALUES (new.forum_id, 1);
    RETURN NULL;
END $$;
CREATE TRIGGER count_post AFTER INSERT ON post FOR EACH ROW EXECUTE FUNCTION count_post();

-- chaos:session one
-- chaos:step posts
BEGIN;
INSERT INTO post VALUES (1);
-- chaos:step posts_again
INSERT INTO post VALUES (2);
COMMIT;

-- chaos:session two
-- chaos:step posts
BEGIN;
INSERT INTO post VALUES (2);
-- chaos:step posts_again
INSERT INTO post VALUES (1);
COMMIT;

-- chaos:check
WITH change AS (DELETE FROM forum_change RETURNING *)
UPDATE forum SET posts = forum.posts + total
  FROM (SELECT forum_id, sum(posts) AS total FROM change GROUP BY forum_id) AS changes WHERE forum.id = forum_id;
SELECT results_eq('SELECT posts FROM forum ORDER BY id', ARRAY[2, 2], 'all posts are counted');
SELECT is_empty($$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$, 'nobody waits');

-- chaos:mutant the trigger updates the forum
CREATE OR REPLACE FUNCTION count_post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE forum SET posts = posts + 1 WHERE id = new.forum_id;
    RETURN NULL;
END $$;
-- chaos:caught by 'deadlock_detected'

-- chaos:mutant nothing counts
DROP TRIGGER count_post ON post;
-- chaos:caught by 'all posts are counted'
