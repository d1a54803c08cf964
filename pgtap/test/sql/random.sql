-- Chance: random, seed
SELECT plan(11);

SET chaos.seed = '42';
SET chaos.session = 'one';
SET chaos.iteration = '1';
CREATE TEMPORARY TABLE drawn AS SELECT n, chaos.random() AS value FROM generate_series(1, 200) AS n;

SELECT is(round(value::numeric, 9), 0.278989406, 'the first number is the same on each server') FROM drawn WHERE n = 1;
SELECT cmp_ok(min(value), '>=', 0::double precision, 'no number is below 0') FROM drawn;
SELECT cmp_ok(max(value), '<', 1::double precision, 'no number is 1 or more') FROM drawn;
SELECT cmp_ok(count(DISTINCT value), '=', 200::bigint, 'no number comes twice') FROM drawn;
SELECT cmp_ok(avg(value), '>', 0.4::double precision, 'they are spread') FROM drawn;

DEALLOCATE ALL;
SELECT results_eq(
    'SELECT chaos.random() FROM generate_series(1, 200)', 'SELECT value FROM drawn ORDER BY n',
    'the same seed, session and iteration give the same numbers');

-- a transaction that is tried again must not draw what made it fail
BEGIN;
CREATE TEMPORARY TABLE tried ON COMMIT DROP AS SELECT chaos.random();
ROLLBACK;
DEALLOCATE ALL;
BEGIN;
SELECT chaos.random() AS first \gset
ROLLBACK;
SELECT is(round(chaos.random()::numeric, 9), (SELECT round(value::numeric, 9) FROM drawn WHERE n = 2),
    'a rollback does not take a draw back');

SET chaos.iteration = '2';
SELECT isnt(chaos.random(), (SELECT value FROM drawn WHERE n = 1), 'another iteration has other numbers');
SET chaos.session = 'two';
SET chaos.iteration = '1';
SELECT isnt(chaos.random(), (SELECT value FROM drawn WHERE n = 1), 'another session has other numbers');
SET chaos.session = 'one';
SET chaos.seed = '43';
SELECT isnt(chaos.random(), (SELECT value FROM drawn WHERE n = 1), 'another seed has other numbers');

SET chaos.seed = '44';
CREATE TEMPORARY TABLE served AS SELECT chaos.seed() AS seed, 0::double precision AS value;
UPDATE served SET value = random();
SELECT setseed(seed) FROM served \gset
SELECT is(random(), value, 'seed seeds the server''s random() with what it returns') FROM served;

RESET chaos.seed;
RESET chaos.session;
RESET chaos.iteration;
SELECT * FROM finish();
