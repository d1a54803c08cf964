-- Two doctors on call go home, each because the other stays
-- Reference: Martin Kleppmann, "Hermitage", G2-item; Cahill, "Serializable Isolation for Snapshot Databases", SIGMOD 2008
--
-- Each transaction reads both rows and writes one, so no row is written twice and no lock is waited for. Up to
-- repeatable read both commit and nobody is on call; serializable turns the second away, and it looks again.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:xfail 'somebody is on call' no row is written twice when level = 'read committed' or 'repeatable read'
-- chaos:schedule doctor[1].looks doctor[2].looks doctor[1].leaves doctor[2].leaves doctor[1].ends doctor[2].ends

-- chaos:setup
CREATE TABLE doctor (id int PRIMARY KEY, on_call boolean NOT NULL);
INSERT INTO doctor VALUES (1, true), (2, true);

-- chaos:session doctor x 2 retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT count(*) > 1 AS may_leave FROM doctor WHERE on_call \gset
-- chaos:step leaves
\if :may_leave
UPDATE doctor SET on_call = false WHERE id = :worker;
\endif
-- chaos:step ends
COMMIT;

-- chaos:invariant
SELECT count(*) > 0 AS "somebody is on call" FROM doctor WHERE on_call;

-- chaos:check
SELECT results_eq('SELECT id FROM doctor ORDER BY id', ARRAY[1, 2], 'both are doctors still');
SELECT is(count(*), 2::bigint, 'both doctors got an answer')
  FROM chaos.transactions WHERE outcome = 'committed';
SELECT is(count(*) > 0, :'level' = 'serializable', 'one had to look again, at serializable only')
  FROM chaos.transactions WHERE sqlstate = '40001';

-- chaos:mutant the doctors ask for a snapshot only
-- chaos:replace ':level' with 'REPEATABLE READ' in doctor
-- chaos:caught by 'somebody is on call'

-- chaos:mutant a refused doctor does not try again
-- chaos:session doctor retry none allow serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT count(*) > 1 AS may_leave FROM doctor WHERE on_call \gset
-- chaos:step leaves
\if :may_leave
UPDATE doctor SET on_call = false WHERE id = :worker;
\endif
-- chaos:step ends
COMMIT;
-- chaos:caught by 'both doctors got an answer'

-- chaos:mutant the doctors look before their transactions begin
-- chaos:session doctor
-- chaos:step looks
SELECT count(*) > 1 AS may_leave FROM doctor WHERE on_call \gset
-- chaos:step leaves
BEGIN ISOLATION LEVEL :level;
\if :may_leave
UPDATE doctor SET on_call = false WHERE id = :worker;
\endif
-- chaos:step ends
COMMIT;
-- chaos:caught by 'somebody is on call'

-- chaos:mutant who leaves is deleted when level = serializable
-- chaos:replace 'UPDATE doctor SET on_call = false' with 'DELETE FROM doctor' in doctor
-- chaos:caught by 'both are doctors still'
