-- Waiting for each other, as far as one session shows it: signal, wait_for, barrier, locks
SELECT plan(15);

SELECT throws_ok($$SELECT chaos.wait_for('never', '20ms')$$, 'CH002',
    'signal "never" was not given within 00:00:00.02', 'wait_for gives up');
SELECT throws_ok($$SELECT chaos.wait_for(NULL)$$, '22023', NULL, 'wait_for needs a name');
SELECT throws_ok($$SELECT chaos.wait_for('never', NULL)$$, '22023', NULL, 'wait_for needs a timeout');
SELECT throws_ok($$SELECT chaos.signal(NULL)$$, '22023', NULL, 'signal needs a name');

BEGIN;
SELECT chaos.signal('given') \gset
SELECT chaos.signal('given') \gset
ROLLBACK;
SELECT lives_ok($$SELECT chaos.wait_for('given', '0')$$, 'a signal survives the rollback of its giver');
SELECT throws_ok($$SELECT chaos.wait_for('other', '0')$$, 'CH002', NULL, 'and is not another one');

SELECT is(count(*), 1::bigint, 'a signal is an advisory lock, once') FROM pg_locks
 WHERE locktype = 'advisory' AND classid = 1667785071 AND pid = pg_backend_pid();
SELECT is(count(*), 0::bigint, 'which chaos.locks leaves out') FROM chaos.locks
 WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_advisory_lock(1667785071) \gset
SELECT is(count(*), 1::bigint, 'while it shows those of others') FROM chaos.locks
 WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT cmp_ok(count(*), '>', 0::bigint, 'and locks of other kinds') FROM chaos.locks
 WHERE locktype = 'relation' AND pid = pg_backend_pid();
SELECT pg_advisory_unlock_all() \gset
SELECT throws_ok($$SELECT chaos.wait_for('given', '0')$$, 'CH002', NULL, 'pg_advisory_unlock_all takes signals back');

SELECT lives_ok($$SELECT chaos.barrier('alone', 1, '1s')$$, 'a barrier of one opens at once');
SELECT throws_ok($$SELECT chaos.barrier('pair', 2, '20ms')$$, 'CH002',
    'barrier "pair" did not open within 00:00:00.02: 1 of 2 arrived', 'a barrier of two does not');
SELECT is(count(*), 2::bigint, 'who gave up has not arrived: only the locks of the other barrier are left') FROM pg_locks
 WHERE locktype = 'advisory' AND classid = 1667785071 AND pid = pg_backend_pid();
SELECT throws_ok($$SELECT chaos.barrier('none', 0)$$, '22023', NULL, 'a barrier needs parties');

SELECT pg_advisory_unlock_all() \gset
SELECT * FROM finish();
