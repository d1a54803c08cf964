-- A deadlock of two sessions that count up versions reaches one of them
-- Reference: pgGit 0.1.3, increment_version; PostgreSQL docs, "Deadlocks"
--
-- Each changes two objects, in opposite order. One gets 40P01 and sends its transaction again; all four versions count.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule one.first two.first one.second two.second

-- chaos:setup
CREATE FUNCTION public.count_up(name text, who text) RETURNS int LANGUAGE sql AS $$
    SELECT pggit.increment_version(pggit.ensure_object('VIEW', 'public', name), 'ALTER', 'PATCH', who) $$;
SELECT pggit.ensure_object('VIEW', 'public', name) FROM unnest(ARRAY['report_1', 'report_2']) AS name;

-- chaos:session one retry deadlock_detected
-- chaos:step first
BEGIN;
SELECT count_up('report_1', 'one');
-- chaos:step second
SELECT count_up('report_2', 'one');
COMMIT;

-- chaos:session two retry deadlock_detected
-- chaos:step first
BEGIN;
SELECT count_up('report_2', 'two');
-- chaos:step second
SELECT count_up('report_1', 'two');
COMMIT;

-- chaos:check
SELECT is((SELECT count(*)::int FROM chaos.transactions WHERE sqlstate = '40P01'), 1, 'one of them was told of the deadlock');
SELECT results_eq(
    $$SELECT object_name, version, version_patch FROM pggit.objects WHERE object_name ~ '^report' ORDER BY 1$$,
    $$VALUES ('report_1', 3, 2), ('report_2', 3, 2)$$, 'each object has both versions');
SELECT results_eq(
    $$SELECT change_description, count(*)::int FROM pggit.history WHERE change_description IN ('one', 'two') GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('one', 2), ('two', 2)$$, 'the history has each of them once');

-- chaos:mutant both take the same order
-- chaos:session two retry deadlock_detected
-- chaos:step first
BEGIN;
SELECT 1;
-- chaos:step second
SELECT count_up('report_1', 'two');
SELECT count_up('report_2', 'two');
COMMIT;
-- chaos:caught by 'one of them was told of the deadlock'

-- chaos:mutant the deadlock is swallowed
CREATE OR REPLACE FUNCTION public.count_up(name text, who text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN pggit.increment_version(pggit.ensure_object('VIEW', 'public', name), 'ALTER', 'PATCH', who);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
-- chaos:caught by 'one of them was told of the deadlock'
-- chaos:caught by 'each object has both versions'
