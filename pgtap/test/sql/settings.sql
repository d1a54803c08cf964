-- Who is asking: session, worker, iteration, var
BEGIN;
SELECT plan(8);

SELECT is(chaos.session(), NULL, 'outside a session there is no session');
SELECT is(chaos.worker(), NULL, 'outside a session there is no worker');
SELECT is(chaos.iteration(), NULL, 'outside a session there is no iteration');

SET chaos.session = 'cashier';
SET chaos.worker = '2';
SET chaos.iteration = '3';
SELECT is(chaos.session(), 'cashier', 'session tells the name');
SELECT is(chaos.worker(), 2, 'worker tells the number');
SELECT is(chaos.iteration(), 3, 'iteration tells the number');

SET chaos.vars = '{"level": "it''s serializable"}';
SELECT is(chaos.var('level'), 'it''s serializable', 'var tells a value');
SELECT is(chaos.var('lever'), NULL, 'var knows no other');

SELECT * FROM finish();
ROLLBACK;
