-- An address that was deleted can be used again, by one member
-- Reference: PostgreSQL docs, "Partial Indexes" (unique among rows that satisfy a condition)
--
-- Rows are marked as deleted and stay. A unique index on the address forbids using it again; one on (address, deleted_at)
-- forbids nothing, because no NULL equals another. The index must be on the address of rows that are not deleted.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule newcomer[1].looks newcomer[2].looks newcomer[1].registers newcomer[2].registers support.restores

-- chaos:setup
CREATE TABLE member (id int PRIMARY KEY, address text NOT NULL, deleted_at timestamptz);
CREATE UNIQUE INDEX one_live_member ON member (address) WHERE deleted_at IS NULL;
INSERT INTO member VALUES (0, 'ann@example.org', now());

-- chaos:session newcomer x 2 allow unique_violation
-- chaos:step looks
SELECT count(*) = 0 AS free FROM member WHERE address = 'ann@example.org' AND deleted_at IS NULL \gset
-- chaos:step registers
\if :free
INSERT INTO member VALUES (:worker, 'ann@example.org');
\endif

-- chaos:session support
-- chaos:step restores
-- chaos:expect unique_violation
UPDATE member SET deleted_at = NULL WHERE id = 0;

-- chaos:check
SELECT is(count(*), 1::bigint, 'one member has the address') FROM member WHERE deleted_at IS NULL;
SELECT is(count(*), 1::bigint, 'the deleted one is kept') FROM member WHERE deleted_at IS NOT NULL;

-- chaos:mutant the time of deletion is a part of the index
-- chaos:replace '(address) WHERE deleted_at IS NULL' with '(address, deleted_at)' in setup
-- chaos:caught by 'one member has the address'

-- chaos:mutant nothing is unique
-- chaos:replace 'UNIQUE INDEX' with 'INDEX' in setup
-- chaos:caught by 'one member has the address'

-- chaos:mutant deleted rows count
-- chaos:replace '(address) WHERE deleted_at IS NULL' with '(address)' in setup
-- chaos:caught by 'unique_violation'
-- chaos:caught by 'the deleted one is kept'
