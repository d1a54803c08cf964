-- A counter that a trigger keeps misses a row
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE item (id serial PRIMARY KEY);
CREATE TABLE total (items bigint NOT NULL);
INSERT INTO total VALUES (0);
CREATE FUNCTION count_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE total SET items = items + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER counts AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION count_item();

-- chaos:session writer x 2
BEGIN;
INSERT INTO item DEFAULT VALUES;
COMMIT;

-- chaos:check
SELECT is(items, 2::bigint, 'both rows are counted') FROM total;

-- chaos:mutant race
-- chaos:replace 'items = items + 1' with 'items = (SELECT count(*) FROM item)' in setup
-- chaos:caught by 'both rows are counted'
