-- Faults on tables: inject_error, inject_delay, clear_faults
BEGIN;
SELECT plan(25);

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
SELECT is(pg_temp.failures(), 22, 'probability 0.5 is half of the statements');

SELECT chaos.inject_delay('other table', 'UPDATE', '1s') \gset
\echo # the name of a table is written as in SQL
SELECT * FROM finish();
ROLLBACK;
