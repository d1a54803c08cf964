-- A function under an index changes, and the index is made anew with it
-- Reference: PostgreSQL docs, "amcheck"; "Function Volatility Categories"
--
-- An index on an expression holds what its function said when each row was written. When the function says something
-- else, as after an upgrade of glibc or ICU does every collation, rows are there that no index scan finds. PostgreSQL
-- does not notice; amcheck does, which looks at all that was written because of the tag.

-- chaos:tags corruption concurrent smoke
-- chaos:timeout 30s
-- chaos:requires superuser

-- chaos:setup
CREATE FUNCTION folded(mail text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT lower(mail) $$;
CREATE TABLE person (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail text NOT NULL);
CREATE UNIQUE INDEX person_mail ON person (folded(mail));
INSERT INTO person (mail) SELECT format('early-%s@Example.org', n) FROM generate_series(1, 50) AS n;

-- chaos:session app x 2 repeat 20
INSERT INTO person (mail) VALUES (format('app-%s-%s@Example.org', :worker, :iteration));

-- chaos:session dba
BEGIN;
CREATE OR REPLACE FUNCTION folded(mail text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT lower(trim(mail, ' <>')) || '.' $$;
REINDEX INDEX person_mail;
COMMIT;

-- chaos:check
SELECT is(count(*), 90::bigint, 'every row is there') FROM person;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT is(count(*), 0::bigint, 'each is found by its mail')
  FROM person AS p WHERE NOT EXISTS (SELECT FROM person AS q WHERE folded(q.mail) = folded(p.mail));

-- chaos:mutant nobody reindexes
-- chaos:replace 'REINDEX INDEX person_mail' with 'ANALYZE person' in dba
-- chaos:caught by 'amcheck'
-- chaos:caught by 'each is found by its mail'

-- chaos:mutant reindexed too early
-- chaos:session dba
REINDEX INDEX person_mail;
CREATE OR REPLACE FUNCTION folded(mail text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT lower(trim(mail, ' <>')) || '.' $$;
-- chaos:caught by 'amcheck'
-- chaos:caught by 'each is found by its mail'
