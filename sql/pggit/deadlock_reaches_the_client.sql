-- A deadlock of two migrations reaches one of them
-- Reference: pgGit 0.1.3, its event triggers; PostgreSQL docs, "Deadlocks"
--
-- Each changes two tables, in opposite order. One gets 40P01 and sends its transaction again; all four changes are
-- tracked, each once. That pgGit's tables are written by both does not add a deadlock, and does not hide this one.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule one.first two.first one.second two.second

-- chaos:setup
CREATE TABLE public.item_1 (id int);
CREATE TABLE public.item_2 (id int);

-- chaos:session one retry deadlock_detected
-- chaos:step first
BEGIN;
ALTER TABLE public.item_1 ADD COLUMN of_one text;
-- chaos:step second
ALTER TABLE public.item_2 ADD COLUMN of_one text;
COMMIT;

-- chaos:session two retry deadlock_detected
-- chaos:step first
BEGIN;
ALTER TABLE public.item_2 ADD COLUMN of_two text;
-- chaos:step second
ALTER TABLE public.item_1 ADD COLUMN of_two text;
COMMIT;

-- chaos:check
SELECT is((SELECT count(*)::int FROM chaos.transactions WHERE sqlstate = '40P01'), 1, 'one of them was told of the deadlock');
SELECT results_eq(
    $$SELECT object_name, version FROM pggit.objects WHERE object_type = 'TABLE' AND object_name ~ '^item_' ORDER BY 1$$,
    $$VALUES ('item_1', 4), ('item_2', 4)$$, 'each table has both versions');
SELECT results_eq(
    $$SELECT substring(sql_executed FROM 'of_...'), count(*)::int FROM pggit.history WHERE sql_executed ~ 'item_. ADD' GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('of_one', 2), ('of_two', 2)$$, 'the history has each change once');

-- chaos:mutant both take the same order
-- chaos:session two retry deadlock_detected
-- chaos:step first
BEGIN;
SELECT 1;
-- chaos:step second
ALTER TABLE public.item_1 ADD COLUMN of_two text;
ALTER TABLE public.item_2 ADD COLUMN of_two text;
COMMIT;
-- chaos:caught by 'one of them was told of the deadlock'

-- chaos:mutant nobody tracks
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
-- chaos:caught by 'each table has both versions'
-- chaos:caught by 'the history has each change once'
