-- Faults on tables: inject_error, inject_delay, clear_faults
BEGIN;
SELECT plan(27);

CREATE TABLE "Job" (id int);
CREATE TABLE "other table" (id int);
INSERT INTO "Job" VALUES (1), (2);

CREATE FUNCTION pg_temp.took(statement text) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    RETURN clock_timestamp() - began;
END
$$;

SELECT chaos.inject_error('"Job"', 'update or DELETE', 'disk_full') \gset
SELECT throws_ok('UPDATE "Job" SET id = 3', '53100', 'forced by chaos.inject_error: disk_full at UPDATE on "Job"', 'UPDATE fails');
SELECT throws_ok('DELETE FROM "Job"', '53100', NULL, 'DELETE fails');
SELECT throws_ok('DELETE FROM "Job" WHERE false', '53100', NULL, 'of no row too: the statement fails');
SELECT lives_ok('INSERT INTO "Job" VALUES (3)', 'INSERT does not');
SELECT lives_ok('UPDATE "other table" SET id = 3', 'nor does another table');

SELECT chaos.inject_error('"Job"', 'UPDATE OR DELETE', '40001') \gset
SELECT throws_ok('UPDATE "Job" SET id = 3', '40001', NULL, 'the second call replaces the first');
SELECT is(chaos.clear_faults('"Job"'), 1, 'so that there is one to clear');
SELECT lives_ok('UPDATE "Job" SET id = 3', 'it is cleared');

SELECT chaos.inject_error('"Job"', 'TRUNCATE', '40001') \gset
SELECT throws_ok('TRUNCATE "Job"', '40001', NULL, 'TRUNCATE fails');
SELECT chaos.inject_error('"Job"', 'INSERT', '40001', 0) \gset
SELECT lives_ok('INSERT INTO "Job" VALUES (3)', 'probability 0 is never');
SET LOCAL chaos.seed = '1';
CREATE FUNCTION pg_temp.failures() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    failed integer := 0;
BEGIN
    FOR i IN 1..50 LOOP
        BEGIN
            INSERT INTO "Job" VALUES (3);
        EXCEPTION WHEN serialization_failure THEN
            failed := failed + 1;
        END;
    END LOOP;
    RETURN failed;
END
$$;
SELECT chaos.inject_error('"Job"', 'INSERT', '40001', 0.5) \gset
SELECT is(pg_temp.failures(), 18, 'probability 0.5 is half of the statements');

SELECT chaos.inject_delay('"other table"', 'UPDATE', '40ms') \gset
SELECT cmp_ok(pg_temp.took('UPDATE "other table" SET id = 4'), '>=', '40ms'::interval, 'UPDATE is slow');
SELECT is(tgtype & 60, 16, 'and nothing but UPDATE') FROM pg_trigger
 WHERE tgrelid = '"other table"'::regclass AND tgname LIKE 'chaos%';
SELECT chaos.inject_delay('"other table"', 'INSERT', '40ms', 'after') \gset
SELECT is(tgtype & 2, 0, 'after: while the row locks are held') FROM pg_trigger
 WHERE tgrelid = '"other table"'::regclass AND tgname LIKE 'chaos%insert';
SELECT cmp_ok(pg_temp.took('INSERT INTO "other table" VALUES (7), (8)'), '>=', '40ms'::interval, 'INSERT is slow then');
SELECT is(count(*), 2::bigint, 'and each fault once a statement, not a row') FROM pg_trigger
 WHERE tgrelid = '"other table"'::regclass AND tgname LIKE 'chaos%' AND tgtype & 1 = 0;

SELECT is(chaos.clear_faults('"other table"'), 2, 'both are cleared');
SELECT triggers_are('other table', ARRAY[]::name[], 'and nothing of them is left');
SELECT is(chaos.clear_faults(), 2, 'without a table all are cleared');
SELECT lives_ok('TRUNCATE "Job"', 'TRUNCATE too');
SELECT is(chaos.clear_faults(), 0, 'and then there are none');

SELECT throws_ok($$SELECT chaos.inject_error('"Job"', 'SELECT', '40001')$$, '22023', NULL, 'SELECT has no triggers');
SELECT throws_ok($$SELECT chaos.inject_error('"Job"', 'UPDATE', NULL)$$, '22023', NULL, 'which error must be said');
SELECT throws_ok($$SELECT chaos.inject_error('"Job"', 'UPDATE', '40001', 2)$$, '22023', NULL, 'twice always is refused');
SELECT throws_ok($$SELECT chaos.inject_error(NULL, 'UPDATE', '40001')$$, '22023', NULL, 'the table must be said');
SELECT throws_ok($$SELECT chaos.inject_delay('"Job"', 'UPDATE', '-1s')$$, '22023', NULL, 'a delay is not negative');
SELECT throws_ok($$SELECT chaos.inject_delay('"Job"', 'UPDATE', '1s', 'while')$$, '22023', NULL, 'the moment is before or after');

SELECT * FROM finish();
ROLLBACK;
