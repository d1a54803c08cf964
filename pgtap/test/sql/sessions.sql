-- Other sessions, as far as one session shows it: terminate, cancel, is_blocked, wait_blocked, blocked_by
SELECT plan(18);

SELECT throws_ok($$SELECT chaos.terminate('nobody')$$, 'CH004',
    'there is no connection nobody in database ' || current_database(), 'terminate finds nobody');
SELECT throws_ok($$SELECT chaos.terminate('nobody', 2)$$, 'CH004',
    'there is no connection nobody[2] in database ' || current_database(), 'terminate finds no such worker');
SELECT throws_ok($$SELECT chaos.terminate(NULL)$$, '22023', NULL, 'terminate needs a name');
SELECT throws_ok($$SELECT chaos.terminate('nobody', 1, '0')$$, '22023', NULL, 'terminate needs time');
SELECT throws_ok($$SELECT chaos.cancel('nobody')$$, 'CH004', NULL, 'cancel finds nobody');
SELECT throws_ok($$SELECT chaos.cancel(NULL)$$, '22023', NULL, 'cancel needs a name');

SELECT current_setting('application_name') AS was \gset
SET application_name = 'me.too[1]';
CREATE TEMPORARY TABLE outcome (name text);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['me', 'too', 'meztoo', 'me.too[2]', 'me.too[10]', '%', ''] LOOP
        BEGIN
            PERFORM chaos.cancel(name);
            INSERT INTO outcome VALUES (name || ' found me');
        EXCEPTION WHEN SQLSTATE 'CH004' THEN NULL;
                  WHEN query_canceled THEN INSERT INTO outcome VALUES (name || ' cancelled me');
        END;
    END LOOP;
END
$$;
SELECT is_empty('TABLE outcome', 'a name is no pattern, and no part of one');
DO $$
BEGIN
    PERFORM chaos.cancel('me.too');
    PERFORM pg_sleep(10);
EXCEPTION WHEN query_canceled THEN
    INSERT INTO outcome VALUES ('by name');
END
$$;
DO $$
BEGIN
    PERFORM chaos.cancel('me.too', 1);
    PERFORM pg_sleep(10);
EXCEPTION WHEN query_canceled THEN
    INSERT INTO outcome VALUES ('by name and number');
END
$$;
DO $$
BEGIN
    PERFORM chaos.cancel('me.too[1]');
    PERFORM pg_sleep(10);
EXCEPTION WHEN query_canceled THEN
    INSERT INTO outcome VALUES ('by name with number');
END
$$;
SELECT results_eq('TABLE outcome', ARRAY['by name', 'by name and number', 'by name with number'], 'cancel cancels');

SELECT is(chaos.is_blocked('me.too'), false, 'who runs is not blocked');
SELECT is(chaos.is_blocked('nobody'), false, 'who is not there is not blocked');
SELECT is(chaos.is_blocked('me.too', 'nobody'), false, 'nor by nobody');
SELECT throws_ok($$SELECT chaos.is_blocked(NULL)$$, '22023', NULL, 'is_blocked needs a name');

SELECT throws_ok($$SELECT chaos.wait_blocked('me.too', '10ms')$$, 'CH002', NULL, 'wait_blocked gives up');
SELECT throws_ok($$SELECT chaos.wait_blocked('nobody', '10ms')$$, 'CH004', NULL, 'and says that nobody is there');
SELECT throws_ok($$SELECT chaos.wait_blocked('me.too', '-1s')$$, '22023', NULL, 'wait_blocked needs time');

SELECT * FROM check_test(chaos.blocked_by('me.too', 'nobody'), false, 'blocked_by',
    'me.too waits for nobody', 'me.too[1] does not wait for a lock');

SET application_name = :'was';
SELECT * FROM finish();
