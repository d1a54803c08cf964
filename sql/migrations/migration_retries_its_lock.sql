-- A migration asks for its lock again and again, and takes it when a report leaves a gap
-- Reference: GitLab docs, "Avoiding downtime in migrations", with_lock_retries; PostgreSQL docs, lock_timeout
--
-- A short lock_timeout lets readers through between two tries. Each try is a transaction of its own: what the migration did
-- before is undone with it, so that it holds nothing while it waits for the next try.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE migration_log (step text PRIMARY KEY);
CREATE SEQUENCE tries;

-- chaos:session report
BEGIN;
SELECT count(*) FROM orders;
-- chaos:signal reading
-- chaos:wait for third_try
COMMIT;

-- chaos:session migration retry lock_not_available up to 50
-- chaos:wait for reading
BEGIN;
SET LOCAL lock_timeout = '20ms';
SELECT nextval('tries') >= 3 AS third \gset
\if :third
-- chaos:signal third_try
\endif
INSERT INTO migration_log VALUES ('add the note');
ALTER TABLE orders ADD COLUMN note text;
COMMIT;

-- chaos:check
SELECT has_column('orders', 'note', 'the migration came through');
SELECT is((SELECT count(*) FROM migration_log), 1::bigint, 'it is written down once');
SELECT is(
    (SELECT count(*) FROM chaos.transactions WHERE session = 'migration' AND sqlstate = '55P03') >= 2, true,
    'it gave way at least twice');

-- chaos:mutant the migration tries once
-- chaos:session migration retry none allow lock_not_available
-- chaos:wait for reading
BEGIN;
SET LOCAL lock_timeout = '20ms';
INSERT INTO migration_log VALUES ('add the note');
ALTER TABLE orders ADD COLUMN note text;
COMMIT;
-- chaos:signal third_try
-- chaos:caught by 'the migration came through'

-- chaos:mutant the migration waits for as long as it takes
-- chaos:replace 'SET LOCAL lock_timeout = ''20ms''' with '' in migration
-- chaos:caught by 'wait'
