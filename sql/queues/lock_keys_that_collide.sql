-- Two jobs with different names do not take each other's lock
-- Reference: PostgreSQL docs, "Advisory Lock Functions"; https://github.com/rails/rails/issues/31190 (lock keys from a hash)
--
-- Advisory locks have numbers, so applications hash a name. hashtext() has 32 bits: among 80,000 names two probably share
-- a number, and one job is told that it already runs while it does not. With hashtextextended() (64 bits) it takes billions.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE job AS
SELECT id, name
  FROM (SELECT array_agg(n::text ORDER BY n) AS names FROM generate_series(1, 200000) AS n
         GROUP BY hashtext(n::text) HAVING count(*) > 1 ORDER BY min(n) LIMIT 1) AS same,
       unnest(names) WITH ORDINALITY AS one (name, id);
CREATE TABLE run (name text NOT NULL);

-- chaos:session cron x 2
SELECT name FROM job WHERE id = :worker \gset
BEGIN;
SELECT pg_try_advisory_xact_lock(hashtextextended(:'name', 0)) AS locked \gset
\if :locked
INSERT INTO run VALUES (:'name');
\endif
-- chaos:barrier both_hold_their_locks
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT count(DISTINCT name), count(DISTINCT hashtext(name)) FROM job', 'VALUES (2::bigint, 1::bigint)',
    'the two names have one hash of 32 bits');
SELECT bag_eq('SELECT name FROM run', 'SELECT name FROM job', 'both jobs ran');

-- chaos:mutant the key has 32 bits
-- chaos:replace 'hashtextextended(:''name'', 0)' with 'hashtext(:''name'')' in cron
-- chaos:caught by 'both jobs ran'

-- chaos:mutant all jobs have one key
-- chaos:replace 'hashtextextended(:''name'', 0)' with '77' in cron
-- chaos:caught by 'both jobs ran'
