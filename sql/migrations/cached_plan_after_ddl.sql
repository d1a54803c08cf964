-- A prepared statement outlives a new column
-- Reference: pgjdbc/r2dbc-postgresql#382; getlago/lago-api#3645; PostgreSQL docs, PREPARE
--
-- Drivers prepare statements once for each connection. After ADD COLUMN the server plans them anew, but the columns of
-- the result must stay: with SELECT * they do not, and each open connection fails with 0A000 until it prepares again.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule app.prepares migration.alters app.executes

-- chaos:setup
CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL);
INSERT INTO orders VALUES (1, 10);

-- chaos:session app
-- chaos:step prepares
PREPARE one_order (int) AS SELECT id, total FROM orders WHERE id = $1;
EXECUTE one_order (1);
-- chaos:step executes
EXECUTE one_order (1);

-- chaos:session migration
-- chaos:step alters
ALTER TABLE orders ADD COLUMN note text;

-- chaos:check
SELECT is(
    (SELECT sum(rows) FROM chaos.history WHERE statement LIKE 'EXECUTE%'), 2::numeric,
    'the order was found before the migration, and after it');
SELECT has_column('orders', 'note', 'the migration came through');

-- chaos:mutant the statement asks for all columns
-- chaos:replace 'SELECT id, total FROM' with 'SELECT * FROM' in app
-- chaos:caught by 'feature_not_supported'

-- chaos:mutant the migration changes the type of a column
-- chaos:replace 'ADD COLUMN note text' with 'ALTER COLUMN total TYPE bigint' in migration
-- chaos:caught by 'feature_not_supported'
