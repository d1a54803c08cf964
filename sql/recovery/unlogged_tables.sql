-- An unlogged table is empty after a crash, and as it was after a restart
-- Reference: PostgreSQL docs, CREATE TABLE, UNLOGGED
--
-- The cache is unlogged and may be emptied; the orders may not. Who reads through the cache fills it again.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:matrix end in crash, immediate, restart
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE product (id int PRIMARY KEY, price int NOT NULL);
CREATE UNLOGGED TABLE cache (id int PRIMARY KEY, price int NOT NULL);
INSERT INTO product VALUES (1, 10), (2, 20);
INSERT INTO cache SELECT * FROM product;

-- chaos:session shop retry connection_failure admin_shutdown
-- chaos:fault crash when end = crash
-- chaos:fault stop immediate when end = immediate
-- chaos:fault restart when end = immediate or restart
BEGIN;
SELECT count(*) AS cached FROM cache \gset
INSERT INTO cache SELECT id, price FROM product WHERE id = 1 ON CONFLICT DO NOTHING;
COMMIT;
SELECT chaos.assert(:cached = (CASE WHEN :'end' = 'restart' THEN 2 ELSE 0 END), 'only a clean end keeps the cache');

-- chaos:check
SELECT results_eq('SELECT id, price FROM product ORDER BY id', 'VALUES (1, 10), (2, 20)', 'the products are all there');
SELECT is((SELECT price FROM cache WHERE id = 1), 10, 'what is looked for is cached again');
SELECT is(count(*), 1::bigint, 'the shop lost its connection') FROM chaos.transactions WHERE outcome = 'rolled back';

-- chaos:mutant nothing ends
-- chaos:session shop
BEGIN;
SELECT count(*) AS cached FROM cache \gset
INSERT INTO cache SELECT id, price FROM product WHERE id = 1 ON CONFLICT DO NOTHING;
COMMIT;
-- chaos:caught by 'the shop lost its connection'

-- chaos:mutant the cache is logged when end = crash or immediate
-- chaos:replace 'CREATE UNLOGGED TABLE cache' with 'CREATE TABLE cache' in setup
-- chaos:caught by 'only a clean end keeps the cache'

-- chaos:mutant the products are unlogged when end = crash or immediate
-- chaos:replace 'CREATE TABLE product' with 'CREATE UNLOGGED TABLE product' in setup
-- chaos:caught by 'the products are all there'

-- chaos:mutant a price changes on the way
-- chaos:replace 'SELECT count(*) AS cached FROM cache' with 'UPDATE product SET price = 11 WHERE id = 1; SELECT count(*) AS cached FROM cache' in shop
-- chaos:caught by 'the products are all there'
