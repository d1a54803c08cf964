-- A replication slot that nobody reads keeps WAL, until max_slot_wal_keep_size gives it up
-- Reference: PostgreSQL docs, "Replication", max_slot_wal_keep_size; src/test/recovery/t/019_replslot_limit.pl
--
-- A standby is gone, and its slot keeps all WAL since then: one day the disk is full and the server stops. With a limit the
-- slot is lost at the next checkpoint (wal_status), the WAL is removed, and the standby has to be built anew.

-- chaos:tags concurrent
-- chaos:timeout 30s
-- chaos:sandbox server
-- chaos:server min_wal_size = 32MB
-- chaos:server max_wal_size = 32MB
-- chaos:server max_slot_wal_keep_size = 32MB when limit = '32MB'
-- chaos:matrix limit in none, '32MB'
-- chaos:leaves slot nobody reads it, and nobody drops it
-- chaos:xfail 'the WAL fits into its disk' the slot keeps all of it when limit = none

-- chaos:setup
SELECT pg_create_physical_replication_slot('standby', true);

-- chaos:session load repeat 8
SELECT pg_logical_emit_message(true, 'load', 'of this segment');
SELECT pg_switch_wal();
CHECKPOINT;

-- chaos:check
SELECT cmp_ok((SELECT sum(size) FROM pg_ls_waldir()), '<', 100e6, 'the WAL fits into its disk');
SELECT is(
    (SELECT wal_status FROM pg_replication_slots), CASE :'limit' WHEN '32MB' THEN 'lost' ELSE 'extended' END,
    'with a limit the slot is given up');

-- chaos:mutant the standby is there, and has read all when limit = '32MB'
-- chaos:replace 'SELECT pg_switch_wal()' with 'SELECT pg_replication_slot_advance(''standby'', pg_switch_wal())' in load
-- chaos:caught by 'with a limit the slot is given up'

-- chaos:mutant somebody lifts the limit when limit = '32MB'
ALTER SYSTEM SET max_slot_wal_keep_size = -1;
SELECT pg_reload_conf();
-- chaos:caught by 'the WAL fits into its disk'
