-- An old snapshot keeps VACUUM from freezing, and brings the server nearer to wraparound
-- Reference: Sentry, "Transaction ID Wraparound in Postgres", 2015; PostgreSQL docs, "Routine Vacuuming", Wraparound
--
-- VACUUM FREEZE moves a table's relfrozenxid up to the oldest snapshot, and no further. If that never ends, the age of the
-- database grows with each transaction, and before two billion the server refuses to write. End the snapshot first.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:alone

-- chaos:setup
CREATE TABLE event (id int) WITH (autovacuum_enabled = off);
CREATE TABLE price (id int PRIMARY KEY);

-- chaos:session forgotten
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM price;
-- chaos:signal reading
-- chaos:wait for vacuumed
COMMIT;

-- chaos:session writer
-- chaos:wait for reading
DO $$ BEGIN FOR n IN 1..50 LOOP INSERT INTO event VALUES (n); COMMIT; END LOOP; END $$;
-- chaos:signal written

-- chaos:session dba
-- chaos:wait for written
VACUUM (FREEZE) event;
SELECT chaos.assert(age(relfrozenxid) >= 50, 'behind an old snapshot the age of the table stays')
  FROM pg_class WHERE oid = 'event'::regclass;
-- chaos:signal vacuumed

-- chaos:check
VACUUM (FREEZE) event;
SELECT cmp_ok(
    (SELECT age(relfrozenxid) FROM pg_class WHERE oid = 'event'::regclass), '<', 50, 'after its end the age of the table is low');

-- chaos:mutant the transaction is never ended
-- chaos:session forgotten
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM price;
-- chaos:signal reading
-- chaos:wait for vacuumed
-- chaos:caught by 'after its end the age of the table is low'
-- chaos:caught by 'leak'

-- chaos:mutant the transaction has no snapshot
-- chaos:replace 'REPEATABLE READ' with 'READ COMMITTED' in forgotten
-- chaos:caught by 'behind an old snapshot the age of the table stays'
