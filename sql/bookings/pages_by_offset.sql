-- A reader who turns pages sees each row once, although rows are added meanwhile
-- Reference: https://use-the-index-luke.com/no-offset
--
-- The newest articles come first, three on a page. An article that is published between two pages moves all others down by one:
-- with OFFSET the second page begins with an article of the first. "After the last one that I have seen" does not move.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule reader.first_page author.publishes author.withdraws reader.second_page

-- chaos:setup
CREATE TABLE article (id int PRIMARY KEY);
CREATE TABLE seen (article_id int NOT NULL);
INSERT INTO article SELECT id FROM generate_series(1, 6) AS id;

-- chaos:session reader
-- chaos:step first_page
INSERT INTO seen SELECT id FROM article ORDER BY id DESC LIMIT 3;
-- chaos:step second_page
INSERT INTO seen SELECT id FROM article WHERE id < (SELECT min(article_id) FROM seen) ORDER BY id DESC LIMIT 3;

-- chaos:session author
-- chaos:step publishes
INSERT INTO article VALUES (7);
-- chaos:step withdraws
DELETE FROM article WHERE id = 2;

-- chaos:check
SELECT results_eq(
    'SELECT article_id FROM seen ORDER BY article_id DESC', ARRAY[6, 5, 4, 3, 1], 'each article that stayed was seen once');

-- chaos:mutant the second page is counted from the top
-- chaos:replace 'WHERE id < (SELECT min(article_id) FROM seen) ORDER BY id DESC LIMIT 3' with 'ORDER BY id DESC LIMIT 3 OFFSET 3' in reader
-- chaos:caught by 'each article that stayed was seen once'

-- chaos:mutant the second page begins where the first ended
-- chaos:replace 'WHERE id < (' with 'WHERE id <= (' in reader
-- chaos:caught by 'each article that stayed was seen once'
