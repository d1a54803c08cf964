-- A post knows how many comments it has
-- Reference: https://api.rubyonrails.org/classes/ActiveRecord/CounterCache/ClassMethods.html (counter_cache, reset_counters)
--
-- A trigger keeps the number of comments in the post. "The number plus one" locks the post and is right. "Count the
-- comments" writes a number that was counted before others committed theirs. A repair that counts must lock the post first.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule reader[1].comments reader[2].comments reader[1].ends repair.locks reader[2].ends repair.counts repair.ends

-- chaos:setup
CREATE TABLE post (id int PRIMARY KEY, comments int NOT NULL);
CREATE TABLE comment (post_id int NOT NULL, by_reader int NOT NULL);
INSERT INTO post VALUES (1, 0);
CREATE FUNCTION count_comment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE post SET comments = comments + 1 WHERE id = NEW.post_id;
    RETURN NULL;
END $$;
CREATE TRIGGER count_comment AFTER INSERT ON comment FOR EACH ROW EXECUTE FUNCTION count_comment();

-- chaos:session reader x 2
-- chaos:step comments
BEGIN;
INSERT INTO comment VALUES (1, :worker);
-- chaos:step ends
COMMIT;

-- chaos:session repair
-- chaos:step locks
BEGIN;
SELECT FROM post WHERE id = 1 FOR UPDATE;
-- chaos:step counts
UPDATE post SET comments = (SELECT count(*) FROM comment WHERE post_id = 1) WHERE id = 1;
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT is((SELECT comments::bigint FROM post), count(*), 'the post knows how many comments it has') FROM comment;
SELECT is(count(*), 2::bigint, 'both readers wrote one') FROM comment;

-- chaos:mutant the trigger counts the comments
-- chaos:replace 'comments = comments + 1' with 'comments = (SELECT count(*) FROM comment WHERE post_id = NEW.post_id)' in setup
-- chaos:replace 'UPDATE post SET comments = (SELECT count(*) FROM comment WHERE post_id = 1) WHERE id = 1' with '' in repair
-- chaos:caught by 'the post knows how many comments it has'

-- chaos:mutant the repair counts before it locks
-- chaos:session repair
-- chaos:step locks
BEGIN;
UPDATE post SET comments = (SELECT count(*) FROM comment WHERE post_id = 1) WHERE id = 1;
-- chaos:step counts
SELECT comments FROM post WHERE id = 1;
-- chaos:step ends
COMMIT;
-- chaos:caught by 'the post knows how many comments it has'
