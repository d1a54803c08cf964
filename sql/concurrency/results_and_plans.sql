-- The pages of a list go together, whatever plan the server chooses for each
-- Reference: PostgreSQL docs, SELECT, "LIMIT Clause"; "Query Planning", Planner Method Configuration
--
-- Between two pages somebody adds an index, or ANALYZE runs: another plan, and rows that are equal in ORDER BY come in
-- another order. A row is on both pages, another on none. An order that ends with the key depends on no plan; the matrix
-- takes one way after another from the planner.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:matrix without in seqscan, indexscan, bitmapscan, sort, incremental_sort
-- chaos:schedule reader.reads_one dba.adds_index reader.reads_two

-- chaos:setup
CREATE TABLE post (id int PRIMARY KEY, score int NOT NULL);
INSERT INTO post SELECT 1000 - n, n % 3 FROM generate_series(1, 60) AS n;
CREATE TABLE page (number int NOT NULL, id int NOT NULL);
ANALYZE post;

-- chaos:session reader
-- chaos:step reads_one
SET enable_:without = off;
INSERT INTO page SELECT 1, id FROM (SELECT id FROM post ORDER BY score, id LIMIT 10) AS first_page;
-- chaos:step reads_two
SET enable_:without = on;
INSERT INTO page SELECT 2, id FROM (SELECT id FROM post ORDER BY score, id LIMIT 10 OFFSET 10) AS second_page;

-- chaos:session dba
-- chaos:step adds_index
CREATE INDEX post_score ON post (score);
ANALYZE post;

-- chaos:check
SELECT is((SELECT count(DISTINCT id) FROM page), 20::bigint, 'no post is on both pages');
SELECT results_eq(
    'SELECT id FROM page WHERE number = 1 ORDER BY id', 'SELECT 940 + 3 * n FROM generate_series(0, 9) AS n',
    'the first page has the first posts');

-- chaos:mutant posts of the same score are in no order
-- chaos:replace 'ORDER BY score, id LIMIT 10)' with 'ORDER BY score LIMIT 10)' in reader
-- chaos:replace 'ORDER BY score, id LIMIT 10 OFFSET 10' with 'ORDER BY score LIMIT 10 OFFSET 10' in reader
-- chaos:caught by 'no post is on both pages'
