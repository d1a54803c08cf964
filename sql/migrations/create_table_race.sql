-- Two workers start at once, and both create the table if it does not exist
-- Reference: psycopg/psycopg2#1036; MaterializeInc/materialize#12560; PostgreSQL docs, "Advisory Locks"
--
-- IF NOT EXISTS looks only for committed tables. The second CREATE waits in the catalog's unique index for the first, and
-- then fails with 23505, "duplicate key value violates unique constraint pg_type_typname_nsp_index". An advisory lock
-- makes it look after the first has committed.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE started (worker int PRIMARY KEY);

-- chaos:session worker x 2
BEGIN;
SELECT pg_advisory_xact_lock(hashtext('create tables'));
CREATE TABLE IF NOT EXISTS job (id int PRIMARY KEY);
-- chaos:barrier created unless blocked
COMMIT;
INSERT INTO started VALUES (:worker);

-- chaos:check
SELECT has_table('job', 'the table is there');
SELECT is((SELECT count(*) FROM started), 2::bigint, 'and both workers have started');

-- chaos:mutant nobody takes the lock
-- chaos:replace 'SELECT pg_advisory_xact_lock(hashtext(''create tables''))' with '' in worker
-- chaos:caught by 'unique_violation'

-- chaos:mutant the lock is given back before the commit
-- chaos:session worker
BEGIN;
SELECT pg_advisory_lock(hashtext('create tables'));
CREATE TABLE IF NOT EXISTS job (id int PRIMARY KEY);
SELECT pg_advisory_unlock(hashtext('create tables'));
-- chaos:barrier created unless blocked
COMMIT;
INSERT INTO started VALUES (:worker);
-- chaos:caught by 'unique_violation'

-- chaos:mutant nobody cares whether it exists
-- chaos:replace 'IF NOT EXISTS' with '' in worker
-- chaos:caught by 'duplicate_table'
