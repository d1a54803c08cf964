-- A prepared transaction that nobody ends keeps VACUUM from its work
-- Reference: PostgreSQL docs, PREPARE TRANSACTION, Caution; "Routine Vacuuming", Recovering Disk Space
--
-- It has no session, so pg_stat_activity does not show it, no time-out ends it, and a restart does not either. All rows that
-- are deleted after it began stay in their tables, of the whole database. Look into pg_prepared_xacts.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires capability prepared_transactions
-- chaos:alone

-- chaos:setup
CREATE TABLE event (id int) WITH (autovacuum_enabled = off);
INSERT INTO event SELECT generate_series(1, 1000);
CREATE TABLE transfer (id int PRIMARY KEY);

-- chaos:session coordinator
SELECT 'transfer in ' || current_database() AS gid \gset
BEGIN;
INSERT INTO transfer VALUES (1);
PREPARE TRANSACTION :'gid';
-- chaos:signal prepared

-- chaos:session cleaner
-- chaos:wait for prepared
DELETE FROM event;
VACUUM event;
SELECT chaos.assert(pg_relation_size('event') > 0, 'behind a prepared transaction VACUUM removes nothing');
-- chaos:signal vacuumed

-- chaos:session operator
-- chaos:wait for vacuumed
SELECT gid FROM pg_prepared_xacts WHERE gid = 'transfer in ' || current_database() \gset
COMMIT PREPARED :'gid';

-- chaos:check
VACUUM event;
SELECT is(pg_relation_size('event'), 0::bigint, 'once it is ended VACUUM gives the space back');
SELECT is((SELECT count(*) FROM transfer), 1::bigint, 'the transfer is committed');

-- chaos:mutant nobody ends it
-- chaos:replace 'COMMIT PREPARED :''gid''' with 'SELECT :''gid''' in operator
-- chaos:caught by 'once it is ended VACUUM gives the space back'
-- chaos:caught by 'leak'

-- chaos:mutant it is not prepared but committed
-- chaos:replace 'PREPARE TRANSACTION :''gid''' with 'COMMIT' in coordinator
-- chaos:session operator
-- chaos:wait for vacuumed
SELECT 1;
-- chaos:caught by 'behind a prepared transaction VACUUM removes nothing'
