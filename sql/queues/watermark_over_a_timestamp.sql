-- A copy that asks for everything changed since its last look misses no row
-- Reference: PostgreSQL docs, "Date/Time Functions": now() is the time when the transaction began
--
-- A row gets its time when its transaction begins, and appears when it commits. A copy that remembers the newest time that it
-- has seen asks for later ones: a transaction that began earlier and committed later is lost. The copy below asks for
-- everything that its last snapshot did not see, by the number of the transaction.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule slow.writes fast.writes copy.looks slow.ends copy.looks_again

-- chaos:setup
CREATE TABLE item (
    id int PRIMARY KEY, changed_at timestamptz NOT NULL DEFAULT now(), changed_by xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE TABLE copy (id int NOT NULL, changed_at timestamptz NOT NULL);
CREATE TABLE last_look (seen pg_snapshot NOT NULL);
INSERT INTO last_look SELECT pg_current_snapshot();

-- chaos:session slow
-- chaos:step writes
BEGIN;
INSERT INTO item VALUES (1);
-- chaos:step ends
COMMIT;

-- chaos:session fast
-- chaos:step writes
INSERT INTO item VALUES (2);

-- chaos:session copy
-- chaos:step looks
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO copy SELECT id, item.changed_at FROM item, last_look WHERE NOT pg_visible_in_snapshot(changed_by, seen);
UPDATE last_look SET seen = pg_current_snapshot();
COMMIT;
-- chaos:step looks_again
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO copy SELECT id, item.changed_at FROM item, last_look WHERE NOT pg_visible_in_snapshot(changed_by, seen);
UPDATE last_look SET seen = pg_current_snapshot();
COMMIT;

-- chaos:check
SELECT results_eq('SELECT id FROM copy ORDER BY id', ARRAY[1, 2], 'each row was copied once');
SELECT ok(
    (SELECT changed_at FROM item WHERE id = 1) < (SELECT changed_at FROM item WHERE id = 2),
    'the slow writer has the earlier time');

-- chaos:mutant the newest time is remembered
-- chaos:session copy
-- chaos:step looks
INSERT INTO copy SELECT id, changed_at FROM item WHERE changed_at > (SELECT coalesce(max(changed_at), '-infinity') FROM copy);
-- chaos:step looks_again
INSERT INTO copy SELECT id, changed_at FROM item WHERE changed_at > (SELECT coalesce(max(changed_at), '-infinity') FROM copy);
-- chaos:caught by 'each row was copied once'

-- chaos:mutant the snapshot is another one than that of the rows
-- chaos:session copy
-- chaos:step looks
INSERT INTO copy SELECT id, item.changed_at FROM item, last_look WHERE NOT pg_visible_in_snapshot(changed_by, seen);
-- chaos:step looks_again
UPDATE last_look SET seen = pg_current_snapshot();
INSERT INTO copy SELECT id, item.changed_at FROM item, last_look WHERE NOT pg_visible_in_snapshot(changed_by, seen);
-- chaos:caught by 'each row was copied once'
