-- A logical replication slot that nobody reads keeps VACUUM from cleaning the catalogs
-- Reference: PostgreSQL docs, "Logical Decoding Concepts", Replication Slots, Caution; pg_replication_slots.catalog_xmin
--
-- The consumer is gone, its slot is not: to decode old WAL one day, it needs the catalogs as they were. Dead rows of
-- pg_class and the like stay (here of a table that counts as a catalog), and the server comes nearer to wraparound.

-- chaos:tags concurrent
-- chaos:timeout 30s
-- chaos:sandbox server
-- chaos:server wal_level = logical
-- chaos:server autovacuum = off

-- chaos:setup
CREATE TABLE setting (id int) WITH (user_catalog_table = true);
INSERT INTO setting SELECT generate_series(1, 1000);
CREATE TABLE event (id int);
INSERT INTO event SELECT generate_series(1, 1000);

-- chaos:session consumer
SELECT pg_create_logical_replication_slot('consumer', 'pgoutput');
-- chaos:signal gone

-- chaos:session cleaner
-- chaos:wait for gone
DELETE FROM setting;
DELETE FROM event;
VACUUM setting, event;
SELECT chaos.assert(pg_relation_size('setting') > 0, 'behind the slot VACUUM removes nothing of a catalog');
SELECT chaos.assert(pg_relation_size('event') = 0, 'other tables are cleaned');
-- chaos:signal vacuumed

-- chaos:session operator
-- chaos:wait for vacuumed
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND catalog_xmin IS NOT NULL;

-- chaos:check
VACUUM setting;
SELECT is(pg_relation_size('setting'), 0::bigint, 'once the slot is dropped VACUUM gives the space back');

-- chaos:mutant nobody drops the slot
-- chaos:replace 'NOT active' with 'active' in operator
-- chaos:caught by 'once the slot is dropped VACUUM gives the space back'

-- chaos:mutant the consumer took its slot with it
-- chaos:replace '''pgoutput''' with '''pgoutput'', temporary => true' in consumer
-- chaos:replace 'WHERE NOT active' with 'WHERE false' in operator
-- chaos:caught by 'once the slot is dropped VACUUM gives the space back'
