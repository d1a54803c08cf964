-- A transaction that idles keeps VACUUM from its work
-- Reference: PostgreSQL docs, "Routine Vacuuming", Recovering Disk Space; idle_in_transaction_session_timeout
--
-- A forgotten transaction has a snapshot, of another table even, and VACUUM may remove nothing that it could still see.
-- idle_in_transaction_session_timeout ends it with 25P03: whoever waits for its lock goes on, and VACUUM cleans up.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:alone

-- chaos:setup
CREATE TABLE event (id int) WITH (autovacuum_enabled = off);
INSERT INTO event SELECT generate_series(1, 1000);
CREATE TABLE price (id int PRIMARY KEY, amount int NOT NULL);

-- chaos:session forgotten allow idle_in_transaction_session_timeout
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT sum(amount) FROM price;
-- chaos:signal reading
-- chaos:wait for vacuumed
SET idle_in_transaction_session_timeout = '20ms';
-- chaos:wait for freed
SELECT sum(amount) FROM price;
COMMIT;

-- chaos:session cleaner
-- chaos:wait for reading
DELETE FROM event;
VACUUM event;
SELECT chaos.assert(pg_relation_size('event') > 0, 'behind an idle transaction VACUUM removes nothing');
-- chaos:signal vacuumed
ALTER TABLE price ADD COLUMN currency text;
-- chaos:signal freed

-- chaos:check
SELECT is(count(*), 1::bigint, 'the server ended the idle transaction')
  FROM chaos.history WHERE session = 'forgotten' AND sqlstate = '25P03';
SELECT has_column('price', 'currency', 'who waited for its lock came through');
VACUUM event;
SELECT is(pg_relation_size('event'), 0::bigint, 'after that VACUUM gives the space back');

-- chaos:mutant nothing limits an idle transaction
-- chaos:session forgotten
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT sum(amount) FROM price;
-- chaos:signal reading
-- chaos:replace 'ALTER TABLE price ADD COLUMN currency text' with '' in cleaner
-- chaos:caught by 'after that VACUUM gives the space back'
-- chaos:caught by 'leak'

-- chaos:mutant who waited for the lock gives up
-- chaos:replace 'ALTER TABLE price ADD COLUMN currency text' with 'SELECT pg_sleep(0)' in cleaner
-- chaos:caught by 'who waited for its lock came through'
