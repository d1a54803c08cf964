-- no_leaks, as far as one session shows it
SELECT plan(8);

SELECT * FROM check_test(chaos.no_leaks(), true, 'nothing', 'nothing was left behind', '');

SELECT chaos.signal('mine') \gset
SELECT pg_advisory_lock(1, 2), pg_advisory_lock_shared(4294967299) \gset
SELECT current_setting('application_name') AS was \gset
SET application_name = 'me';
SELECT * FROM check_test(chaos.no_leaks('clean'), false, 'advisory locks, the toolkit''s not among them', 'clean',
    format(E'advisory lock: (1, 2), me, pid %1$s\nadvisory lock: (4294967299), me, pid %1$s', pg_backend_pid()));
SET application_name = :'was';
SELECT pg_advisory_unlock_all() \gset

SELECT is_empty('SELECT chaos._left_behind()', 'freed, they are no more');
SET chaos.worker = '1';
SELECT throws_ok('SELECT chaos.no_leaks()', 'CH006', NULL, 'in a session TAP is not read');
RESET chaos.worker;

SELECT * FROM finish();
