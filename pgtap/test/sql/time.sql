-- Time: delay, jitter
BEGIN;
SELECT plan(9);

CREATE FUNCTION pg_temp.took(statement text) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    RETURN clock_timestamp() - began;
END
$$;

SELECT cmp_ok(pg_temp.took($$SELECT chaos.delay('40ms')$$), '>=', '40ms'::interval, 'delay waits so long');
SELECT lives_ok($$SELECT chaos.delay('0')$$, 'no time is a time');
SELECT throws_ok($$SELECT chaos.delay('-1ms')$$, '22023', NULL, 'delay refuses to go back in time');
SELECT throws_ok($$SELECT chaos.delay(NULL)$$, '22023', NULL, 'delay refuses NULL');

CREATE TEMPORARY TABLE chosen (told interval, took interval);
DO $$
DECLARE
    began timestamptz;
    told interval;
BEGIN
    FOR i IN 1..5 LOOP
        began := clock_timestamp();
        told := chaos.jitter('20ms');
        INSERT INTO chosen VALUES (told, clock_timestamp() - began);
    END LOOP;
END
$$;
SELECT is(bool_and(told >= '0' AND told < '20ms'), true, 'jitter stays below its longest') FROM chosen;
SELECT is(bool_and(took >= told), true, 'jitter waits as long as it tells') FROM chosen;
SELECT cmp_ok(count(DISTINCT told), '>', 1::bigint, 'jitter varies') FROM chosen;
SELECT throws_ok($$SELECT chaos.jitter('-1ms')$$, '22023', NULL, 'jitter refuses to go back in time');
SELECT throws_ok($$SELECT chaos.jitter(NULL)$$, '22023', NULL, 'jitter refuses NULL');

SELECT * FROM finish();
ROLLBACK;
