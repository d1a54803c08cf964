-- Two clients ask for the id of a tag, and create it if it is new
-- Reference: PostgreSQL docs, INSERT, "ON CONFLICT Clause", Outputs; "Transaction Isolation", Read Committed
--
-- ON CONFLICT DO NOTHING RETURNING returns no row to the client that did nothing. A SELECT in the same statement does not
-- help: its snapshot is older than the other's commit. The next statement sees the row.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE tag (id int GENERATED ALWAYS AS IDENTITY, name text PRIMARY KEY);
CREATE TABLE answer (worker int PRIMARY KEY, tag_id int);

-- chaos:session client x 2
BEGIN;
INSERT INTO tag (name) VALUES ('new') ON CONFLICT (name) DO NOTHING;
-- chaos:barrier asked unless blocked
SELECT coalesce(max(id), 0) AS id FROM tag WHERE name = 'new' \gset
COMMIT;
INSERT INTO answer VALUES (:worker, :id);

-- chaos:check
SELECT is((SELECT count(*) FROM tag), 1::bigint, 'the tag is there once');
SELECT is(
    (SELECT count(*) FROM answer JOIN tag ON tag.id = tag_id), 2::bigint, 'both clients know its id');

-- chaos:mutant the id is what INSERT returns
-- chaos:session client
BEGIN;
WITH ins AS (INSERT INTO tag (name) VALUES ('new') ON CONFLICT (name) DO NOTHING RETURNING id)
SELECT coalesce(max(id), 0) AS id FROM ins \gset
-- chaos:barrier asked unless blocked
COMMIT;
INSERT INTO answer VALUES (:worker, :id);
-- chaos:caught by 'both clients know its id'

-- chaos:mutant the same statement looks for the row of the other
-- chaos:session client
BEGIN;
WITH ins AS (INSERT INTO tag (name) VALUES ('new') ON CONFLICT (name) DO NOTHING RETURNING id),
     found AS (SELECT id FROM ins UNION ALL SELECT id FROM tag WHERE name = 'new')
SELECT coalesce(max(id), 0) AS id FROM found \gset
-- chaos:barrier asked unless blocked
COMMIT;
INSERT INTO answer VALUES (:worker, :id);
-- chaos:caught by 'both clients know its id'

-- chaos:mutant the clients are in snapshots
-- chaos:replace 'BEGIN' with 'BEGIN ISOLATION LEVEL REPEATABLE READ' in client
-- chaos:caught by 'serialization_failure'
