-- After a crash a sequence skips numbers, and gives none a second time
-- Reference: PostgreSQL docs, CREATE SEQUENCE, Notes; src/backend/commands/sequence.c, SEQ_LOG_VALS
--
-- Not each number is written to WAL but each 32nd, ahead of what was given. Recovery goes on behind what is written: there
-- is a gap. A counter of one's own that is kept in an unlogged table begins anew, and gives the same numbers again.

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:timeout 30s

-- chaos:setup
CREATE SEQUENCE ticket_number;
CREATE TABLE ticket (number int PRIMARY KEY);

-- chaos:session clerk repeat 6 allow connection_failure
-- chaos:fault crash on 4th execution
INSERT INTO ticket SELECT nextval('ticket_number') RETURNING number \gset

-- chaos:check
SELECT is_empty(
    $$SELECT (variables->>'number')::int FROM chaos.acknowledged WHERE variables ? 'number' EXCEPT SELECT number FROM ticket$$,
    'every number that a client got is there');
SELECT results_eq(
    'SELECT number FROM ticket ORDER BY number', ARRAY[1, 2, 3, 34, 35], 'numbers are skipped, and none comes twice');

-- chaos:mutant nothing crashes
-- chaos:session clerk
INSERT INTO ticket SELECT nextval('ticket_number') RETURNING number \gset
-- chaos:caught by 'numbers are skipped, and none comes twice'

-- chaos:mutant the counter is an unlogged table
CREATE UNLOGGED TABLE counter (last int NOT NULL);
CREATE FUNCTION next_number() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    number int;
BEGIN
    UPDATE counter SET last = last + 1 RETURNING last INTO number;
    IF number IS NULL THEN
        INSERT INTO counter VALUES (1) RETURNING last INTO number;
    END IF;
    RETURN number;
END $$;
-- chaos:replace 'nextval(''ticket_number'')' with 'next_number()' in clerk
-- chaos:caught by 'unique_violation'
