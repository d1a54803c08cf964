-- eventually
SELECT plan(22);

SELECT * FROM check_test(chaos.eventually('VALUES (true), (true);', '1s', 'it is so'), true, 'at once', 'it is so', '');
SELECT set_config('test.later', (clock_timestamp() + '60ms')::text, false) \gset
SELECT * FROM check_test(
    chaos.eventually('SELECT clock_timestamp() > current_setting(''test.later'')::timestamptz', '10s'), true, 'later',
    'eventually: SELECT clock_timestamp() > current_setting(''test.later'')::timestamptz', '');
SELECT * FROM check_test(chaos.eventually('VALUES (true), (false)', '10ms', 'all'), false, 'each row must be true', 'all',
    E'not within 00:00:00.01: VALUES (true), (false)\nlast seen: {t,f}');
SELECT * FROM check_test(chaos.eventually('SELECT NULL::boolean -- not known', '10ms', 'null'), false, 'NULL is not true',
    'null', E'not within 00:00:00.01: SELECT NULL::boolean -- not known\nlast seen: {NULL}');
SELECT * FROM check_test(chaos.eventually('SELECT true WHERE false', '10ms', 'empty'), false, 'there must be a row', 'empty',
    E'not within 00:00:00.01: SELECT true WHERE false\nlast seen: no row');

SELECT throws_ok($$SELECT chaos.eventually('SELECT 1', '1s')$$, '42804', NULL, 'a number is no answer');
SELECT throws_ok($$SELECT chaos.eventually('SELECT * FROM nowhere')$$, '42P01', NULL, 'an error comes at once');
SELECT throws_ok($$SELECT chaos.eventually(NULL)$$, '22023', NULL, 'eventually needs a query');
SELECT throws_ok($$SELECT chaos.eventually('SELECT true', '-1s')$$, '22023', NULL, 'eventually needs time');

SET default_transaction_isolation = 'repeatable read';
SELECT throws_ok($$SELECT chaos.eventually('SELECT true')$$, 'CH003',
    'chaos.eventually cannot wait at repeatable read: it would see the same rows for ever', 'repeatable read is refused');
SET default_transaction_isolation = 'serializable';
SELECT throws_ok($$SELECT chaos.eventually('SELECT true')$$, 'CH003', NULL, 'serializable is refused');
RESET default_transaction_isolation;

SET chaos.worker = '1';
SELECT throws_ok($$SELECT chaos.eventually('SELECT true')$$, 'CH006', NULL, 'in a session TAP is not read');
RESET chaos.worker;

SELECT * FROM finish();
