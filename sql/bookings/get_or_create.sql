-- Everybody who asks for a tag gets the same one, also while it is being created
-- Reference: https://stackoverflow.com/questions/40323799 (return rows from INSERT with ON CONFLICT without updating)
--
-- INSERT … ON CONFLICT DO NOTHING RETURNING returns nothing if the tag exists, and a SELECT in the same statement does not see
-- a tag that was committed while the INSERT waited for it. So look again, in a statement of its own.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule first.asks second.asks first.ends second.ends

-- chaos:setup
CREATE TABLE tag (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE answer (session text NOT NULL, tag_id int);
CREATE FUNCTION tag_id(wanted text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    found int;
BEGIN
    LOOP
        SELECT id INTO found FROM tag WHERE name = wanted;
        EXIT WHEN found IS NOT NULL;
        INSERT INTO tag (name) VALUES (wanted) ON CONFLICT (name) DO NOTHING RETURNING id INTO found;
        EXIT WHEN found IS NOT NULL;
    END LOOP;
    RETURN found;
END $$;

-- chaos:session first
-- chaos:step asks
BEGIN;
INSERT INTO answer SELECT 'first', tag_id('red');
-- chaos:step ends
COMMIT;

-- chaos:session second
-- chaos:step asks
BEGIN;
INSERT INTO answer SELECT 'second', tag_id('red');
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT is(count(tag_id), 2::bigint, 'both got an answer') FROM answer;
SELECT is(count(DISTINCT tag_id), 1::bigint, 'the same one') FROM answer;
SELECT is(count(*), 1::bigint, 'the second waited for the first')
  FROM chaos.history WHERE session = 'second' AND waited_on = 'first[1]';

-- chaos:mutant insert and look in one statement
CREATE OR REPLACE FUNCTION tag_id(wanted text) RETURNS int LANGUAGE sql AS $$
    WITH new AS (INSERT INTO tag (name) VALUES (wanted) ON CONFLICT (name) DO NOTHING RETURNING id)
    SELECT id FROM new UNION ALL SELECT id FROM tag WHERE name = wanted LIMIT 1
$$;
-- chaos:caught by 'both got an answer'

-- chaos:mutant the function does not look again
-- chaos:replace 'END LOOP' with 'EXIT; END LOOP' in setup
-- chaos:caught by 'both got an answer'

-- chaos:mutant the name is not unique
ALTER TABLE tag DROP CONSTRAINT tag_name_key;
-- chaos:replace 'ON CONFLICT (name) DO NOTHING' with '' in setup
-- chaos:caught by 'the same one'
