-- A member is there twice
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE member (email text NOT NULL, logins int NOT NULL);
CREATE UNIQUE INDEX member_email ON member (email);

-- chaos:session login x 2
INSERT INTO member VALUES ('ann@example.org', 1) ON CONFLICT (email) DO UPDATE SET logins = member.logins + 1;

-- chaos:check
SELECT is(count(*), 1::bigint, 'there is one row of the member') FROM member;
SELECT is(sum(logins), 2::bigint, 'both logins were counted') FROM member;

-- chaos:mutant race
DROP INDEX member_email;
-- chaos:session login
SELECT count(*) = 0 AS missing FROM member WHERE email = 'ann@example.org' \gset
\if :missing
INSERT INTO member VALUES ('ann@example.org', 1);
\else
UPDATE member SET logins = logins + 1 WHERE email = 'ann@example.org';
\endif
-- chaos:caught by 'there is one row of the member'
