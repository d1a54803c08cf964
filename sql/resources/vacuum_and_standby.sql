-- A query on a standby keeps VACUUM on the primary from cleaning, while hot_standby_feedback is on
-- Reference: PostgreSQL docs, "Hot Standby", Handling Query Conflicts; pg_replication_slots.xmin, pg_stat_replication.backend_xmin
--
-- The standby says which rows its oldest query still needs, and the primary keeps them, in all of its tables, until the query
-- has ended. If the standby is lost before that, its slot keeps them for good. The standby is standby.py beside this file: it
-- speaks the protocol of a standby, and has no data. The session `reader` is who waits for its query, and ends it.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:sandbox server
-- chaos:server wal_level = replica
-- chaos:server max_wal_senders = 2
-- chaos:server autovacuum = off
-- chaos:requires program python with psycopg

-- chaos:setup
CREATE TABLE event (id int);
INSERT INTO event SELECT generate_series(1, 1000);
SELECT pg_create_physical_replication_slot('standby');

-- chaos:session standby run 'python standby.py standby'

-- chaos:session reader
SELECT chaos.wait_for('query runs');
-- chaos:signal query_runs
-- chaos:wait for vacuumed
NOTIFY query_ends;

-- chaos:session cleaner
-- chaos:wait for query_runs
DELETE FROM event;
VACUUM event;
SELECT chaos.assert(pg_relation_size('event') > 0, 'behind the query on the standby VACUUM removes nothing');
-- chaos:signal vacuumed

-- chaos:check
VACUUM event;
SELECT is(pg_relation_size('event'), 0::bigint, 'after the query VACUUM gives the space back');

-- chaos:teardown
SELECT pg_drop_replication_slot('standby');

-- chaos:mutant hot_standby_feedback is off
-- chaos:session standby run 'python standby.py standby --no-feedback'
-- chaos:caught by 'behind the query on the standby VACUUM removes nothing'

-- chaos:mutant the standby is lost while its query runs
-- chaos:session standby run 'python standby.py standby --lost'
-- chaos:caught by 'after the query VACUUM gives the space back'
