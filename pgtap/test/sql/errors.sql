-- Forced errors: fail, maybe_fail, fail_nth
SELECT plan(20);

SELECT throws_ok($$SELECT chaos.fail('40001')$$, '40001', 'forced by chaos.fail: 40001', 'fail, by SQLSTATE');
SELECT throws_ok($$SELECT chaos.fail('deadlock_detected', 'my words')$$, '40P01', 'my words', 'fail, by condition name');
SELECT throws_ok($$SELECT chaos.fail('no_such_thing')$$, '42704', NULL, 'fail knows condition names');
SELECT throws_ok($$SELECT chaos.fail('00000')$$, '22023', NULL, 'success is no failure');
SELECT throws_ok($$SELECT chaos.fail(NULL)$$, '22023', NULL, 'fail needs a SQLSTATE');

SELECT throws_ok($$SELECT chaos.maybe_fail(1, '53100')$$, '53100', 'forced by chaos.maybe_fail: 53100', 'always');
SELECT lives_ok($$SELECT chaos.maybe_fail(0, '53100') FROM generate_series(1, 100)$$, 'never');
SELECT throws_ok($$SELECT chaos.maybe_fail(1, '53100', 'full')$$, '53100', 'full', 'in my words');
SELECT throws_ok($$SELECT chaos.maybe_fail(1.1, '53100')$$, '22023', NULL, 'more than always is refused');
SELECT throws_ok($$SELECT chaos.maybe_fail(NULL, '53100')$$, '22023', NULL, 'maybe_fail needs a probability');

CREATE FUNCTION pg_temp.failures(tries integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    failed integer := 0;
BEGIN
    FOR i IN 1..tries LOOP
        BEGIN
            PERFORM chaos.maybe_fail(0.5, 'serialization_failure');
        EXCEPTION WHEN serialization_failure THEN
            failed := failed + 1;
        END;
    END LOOP;
    RETURN failed;
END
$$;
SET chaos.seed = '1';
SELECT is(pg_temp.failures(50), 18, 'half of the time, the same half for the same seed');
RESET chaos.seed;

SELECT is(chaos.fail_nth(3, '40001'), 1, 'the first call does nothing');
BEGIN;
SELECT chaos.fail_nth(3, '40001') \gset
ROLLBACK;
SELECT throws_ok($$SELECT chaos.fail_nth(3, '40001')$$, '40001', 'forced by chaos.fail_nth: 40001 at call 3',
    'the third fails: a rollback does not take a call back');
SELECT is(chaos.fail_nth(3, '40001'), 4, 'and no call after it');
SELECT is(chaos.fail_nth(3, '40001', 'elsewhere'), 1, 'another point is counted by itself');
BEGIN READ ONLY;
SELECT chaos.fail_nth(3, '40001') AS here \gset
SELECT chaos.fail_nth(3, '40001', 'elsewhere') AS there \gset
COMMIT;
SELECT is(:here, 5, 'counted in a read only transaction too');
SELECT is(:there, 2, 'each point');
DISCARD PLANS;
SELECT is(chaos.fail_nth(3, '40001'), 6, 'new plans do not begin anew');
DEALLOCATE ALL;
SELECT is(chaos.fail_nth(3, '40001'), 1, 'DEALLOCATE ALL begins anew');
SELECT throws_ok($$SELECT chaos.fail_nth(0, '40001')$$, '22023', NULL, 'there is no call before the first');

SELECT * FROM finish();
