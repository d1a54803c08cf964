-- CREATE INDEX CONCURRENTLY fails and leaves its index behind
-- Reference: PostgreSQL docs, CREATE INDEX, "Building Indexes Concurrently"
--
-- While the unique index waits to be built, a duplicate is committed: 23505. The index stays, neither valid nor ready,
-- and keeps no duplicate out. A migration that is run again with IF NOT EXISTS takes it for what it wanted.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:matrix afterwards in nothing, 'build again'
-- chaos:leaves invalid index nobody drops what the failed build left when afterwards = nothing

-- chaos:setup
CREATE TABLE customer (id int PRIMARY KEY, email text NOT NULL);
INSERT INTO customer VALUES (1, 'ann@example.org');

-- chaos:session writer
BEGIN;
INSERT INTO customer VALUES (2, 'ann@example.org');
-- chaos:signal written
-- chaos:wait blocked migration
COMMIT;

-- chaos:session migration
SELECT :'afterwards' = 'build again' AS again \gset
-- chaos:wait for written
-- chaos:expect unique_violation
CREATE UNIQUE INDEX CONCURRENTLY customer_email ON customer (email);
\if :again
DELETE FROM customer WHERE id = 2;
DROP INDEX CONCURRENTLY customer_email;
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS customer_email ON customer (email);
\endif

-- chaos:check
SELECT :'afterwards' = 'build again' AS again \gset
PREPARE flags AS SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = to_regclass('customer_email');
PREPARE duplicate AS INSERT INTO customer VALUES (3, 'ann@example.org');
\if :again
SELECT results_eq('flags', 'VALUES (true, true)', 'built again, the index is whole');
SELECT throws_ok('duplicate', '23505', NULL, 'and keeps duplicates out');
\else
SELECT results_eq('flags', 'VALUES (false, false)', 'the index is neither valid nor ready');
SELECT lives_ok('duplicate', 'and keeps no duplicate out');
\endif

-- chaos:mutant the migration is only run again when afterwards = 'build again'
-- chaos:replace 'DROP INDEX CONCURRENTLY customer_email' with '' in migration
-- chaos:caught by 'built again, the index is whole'
-- chaos:caught by 'and keeps duplicates out'
-- chaos:caught by 'leak'

-- chaos:mutant the duplicates are still there when afterwards = 'build again'
-- chaos:replace 'DELETE FROM customer WHERE id = 2' with '' in migration
-- chaos:caught by 'unique_violation'

-- chaos:mutant the index is not built concurrently when afterwards = nothing
-- chaos:replace 'INDEX CONCURRENTLY customer_email ON' with 'INDEX customer_email ON' in migration
-- chaos:caught by 'the index is neither valid nor ready'
-- chaos:caught by 'leak'
