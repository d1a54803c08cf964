-- A node whose lease has run out cannot write any more
-- Reference: Martin Kleppmann, "How to do distributed locking", 2016 (fencing tokens)
--
-- The old leader pauses, its lease runs out, another node takes the lease, and the old leader wakes up and writes: it does
-- not know yet. Each lease has a number that grows, and whoever writes shows it: a lower number is refused.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule old.leases new.leases new.writes old.writes

-- chaos:setup
CREATE TABLE lease (id int PRIMARY KEY, holder text NOT NULL, token int NOT NULL, until timestamptz NOT NULL);
CREATE TABLE document (id int PRIMARY KEY, body text NOT NULL, token int NOT NULL);
INSERT INTO lease VALUES (1, 'nobody', 0, '-infinity');
INSERT INTO document VALUES (1, 'empty', 0);

-- chaos:session old
-- chaos:step leases
-- a lease of no time, as after a pause longer than the lease
UPDATE lease SET holder = 'old', token = token + 1, until = clock_timestamp()
 WHERE id = 1 AND until < clock_timestamp() RETURNING token \gset
-- chaos:step writes
UPDATE document SET body = 'by the old leader', token = :token WHERE id = 1 AND token <= :token;

-- chaos:session new
-- chaos:step leases
UPDATE lease SET holder = 'new', token = token + 1, until = clock_timestamp() + interval '1 hour'
 WHERE id = 1 AND until < clock_timestamp() RETURNING token \gset
-- chaos:step writes
UPDATE document SET body = 'by the new leader', token = :token WHERE id = 1 AND token <= :token;

-- chaos:check
SELECT results_eq('SELECT body, token FROM document', $$VALUES ('by the new leader', 2)$$, 'the new leader''s work stands');
SELECT is(
    (SELECT rows FROM chaos.history WHERE session = 'old' AND step = 'writes'), 0::bigint, 'the old leader sees that it lost');

-- chaos:mutant nobody shows the number of the lease
-- chaos:replace 'AND token <= :token' with '' in old
-- chaos:caught by 'the new leader''s work stands'

-- chaos:mutant the number does not grow
-- chaos:replace 'token = token + 1' with 'token = 1' in new
-- chaos:caught by 'the new leader''s work stands'

-- chaos:mutant the lease's own row is asked, in another transaction than the write
-- chaos:session old
-- chaos:step leases
UPDATE lease SET holder = 'old', token = token + 1, until = clock_timestamp() WHERE id = 1 RETURNING token \gset
SELECT holder = 'old' AS leads FROM lease WHERE id = 1 \gset
-- chaos:step writes
\if :leads
UPDATE document SET body = 'by the old leader', token = :token WHERE id = 1;
\endif
-- chaos:caught by 'the new leader''s work stands'
