-- Two first logins of the same member at once
-- Reference: "Feral Concurrency Control", SIGMOD 2015; PostgreSQL docs, INSERT, "ON CONFLICT Clause"
--
-- The second INSERT … ON CONFLICT waits for the first, and then updates the row that it finds. Who looks first and
-- inserts then has looked too early: both find nothing, and one of them runs into the primary key, if there is one.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE member (email text CONSTRAINT member_email PRIMARY KEY, logins int NOT NULL);

-- chaos:session login x 2
BEGIN;
INSERT INTO member VALUES ('ann@example.org', 1)
    ON CONFLICT (email) DO UPDATE SET logins = member.logins + 1;
-- chaos:barrier written unless blocked
COMMIT;

-- chaos:check
SELECT results_eq('SELECT email FROM member', ARRAY['ann@example.org'], 'there is one row of the member');
SELECT is(sum(logins), 2::bigint, 'both logins were counted') FROM member;
SELECT is(count(*), 1::bigint, 'the second login waited for the first')
  FROM chaos.history WHERE waited_on LIKE 'login[_]';

-- chaos:mutant look first, then insert
-- chaos:session login
BEGIN;
SELECT count(*) = 0 AS missing FROM member WHERE email = 'ann@example.org' \gset
-- chaos:barrier looked
\if :missing
INSERT INTO member VALUES ('ann@example.org', 1);
\else
UPDATE member SET logins = logins + 1 WHERE email = 'ann@example.org';
\endif
COMMIT;
-- chaos:caught by 'unique_violation'

-- chaos:mutant look first, and nothing is unique
ALTER TABLE member DROP CONSTRAINT member_email;
-- chaos:session login
BEGIN;
SELECT count(*) = 0 AS missing FROM member WHERE email = 'ann@example.org' \gset
-- chaos:barrier looked
\if :missing
INSERT INTO member VALUES ('ann@example.org', 1);
\else
UPDATE member SET logins = logins + 1 WHERE email = 'ann@example.org';
\endif
COMMIT;
-- chaos:caught by 'there is one row of the member'

-- chaos:mutant the second login does nothing
-- chaos:replace 'DO UPDATE SET logins = member.logins + 1' with 'DO NOTHING' in login
-- chaos:caught by 'both logins were counted'
