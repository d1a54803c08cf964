-- snapshot, unchanged
BEGIN;
SELECT plan(32);

CREATE TABLE account (id int, owner text, seen timestamptz DEFAULT '2026-01-02 03:04:05+00');
INSERT INTO account VALUES (1, 'Ann'), (2, 'Bob'), (2, 'Bob'), (3, NULL);

SELECT is(chaos.snapshot('accounts', 'SELECT * FROM account; '), 4::bigint, 'a snapshot counts its rows');
SELECT chaos.snapshot('none', 'SELECT FROM account WHERE false -- nobody') \gset
SELECT * FROM check_test(chaos.unchanged('accounts'), true, 'nothing happened', 'accounts is unchanged', '');
SELECT * FROM check_test(chaos.unchanged('none', 'still none'), true, 'no rows', 'still none', '');

UPDATE account SET owner = owner WHERE id = 1;
SET LOCAL timezone = 'Asia/Tokyo';
SET LOCAL datestyle = 'German';
SELECT * FROM check_test(chaos.unchanged('accounts'), true, 'order and settings do not count', 'accounts is unchanged', '');

DELETE FROM account WHERE ctid = (SELECT ctid FROM account WHERE id = 2 LIMIT 1);
UPDATE account SET owner = 'Eve' WHERE id = 1;
SELECT * FROM check_test(chaos.unchanged('accounts', 'nobody touches them'), false, 'differences', 'nobody touches them',
    E'missing: (1,Ann,"2026-01-02 03:04:05+00")\nmissing: (2,Bob,"2026-01-02 03:04:05+00")\n'
    || 'new: (1,Eve,"2026-01-02 03:04:05+00")');
SELECT is(chaos.snapshot('accounts', 'TABLE account'), 3::bigint, 'a snapshot may be taken again');
SELECT * FROM check_test(chaos.unchanged('accounts'), true, 'it counts from then on', 'accounts is unchanged', '');

INSERT INTO account SELECT 100 + n, 'new', NULL FROM generate_series(1, 12) AS n;
SELECT * FROM check_test(chaos.unchanged('accounts'), false, 'many differences', 'accounts is unchanged',
    (SELECT string_agg(format('new: (%s,new,)', 100 + n), E'\n' ORDER BY n) FROM generate_series(1, 10) AS n)
    || E'\nnew besides: 2');
INSERT INTO account VALUES (9, 'x');
SELECT chaos.snapshot('named r', 'SELECT 1 AS r, count(*) AS n FROM account') \gset
INSERT INTO account VALUES (10, 'y');
SELECT * FROM check_test(chaos.unchanged('named r'), false, 'a column named r', 'named r is unchanged',
    (SELECT format(E'missing: (1,%s)\nnew: (1,%s)', count(*) - 1, count(*)) FROM account));
SELECT * FROM check_test(chaos.unchanged('none'), true, 'another one is not touched', 'none is unchanged', '');
SELECT is(name, 'accounts', 'they are kept in chaos.snapshots') FROM chaos.snapshots WHERE query = 'TABLE account';

SELECT throws_ok($$SELECT chaos.unchanged('acounts')$$, '42704', 'there is no snapshot "acounts"', 'a name must be one');
SELECT throws_ok($$SELECT chaos.snapshot('wrong', 'SELECT * FROM nowhere')$$, '42P01', NULL, 'a query must be one');
SELECT throws_ok($$SELECT chaos.snapshot(NULL, 'SELECT 1')$$, '22023', NULL, 'a snapshot needs a name');
SELECT throws_ok($$SELECT chaos.snapshot('null', NULL)$$, '22023', NULL, 'a snapshot needs a query');

SET LOCAL chaos.worker = '1';
SELECT throws_ok($$SELECT chaos.unchanged('none')$$, 'CH006', NULL, 'in a session TAP is not read');

SELECT * FROM finish();
ROLLBACK;
