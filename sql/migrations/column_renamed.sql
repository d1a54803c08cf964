-- A column gets another name while the old code still runs
-- Reference: Martin Fowler, "Parallel Change", 2014; Braintree, "Safe Operations For High Volume PostgreSQL"
--
-- RENAME COLUMN takes a moment, and from then on each old statement fails until the last server has the new code. Expand and
-- contract: a second column that a trigger keeps equal serves both, until nobody uses the old name.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule old_code.writes migration.expands old_code.writes_again new_code.writes

-- chaos:setup
CREATE TABLE member (id int PRIMARY KEY, mail text);
INSERT INTO member VALUES (1, NULL), (2, NULL), (3, NULL);

-- chaos:session old_code
-- chaos:step writes
UPDATE member SET mail = 'ann@example.org' WHERE id = 1;
-- chaos:step writes_again
UPDATE member SET mail = 'bob@example.org' WHERE id = 2;

-- chaos:session new_code
-- chaos:step writes
UPDATE member SET email = 'cid@example.org' WHERE id = 3;

-- chaos:session migration
-- chaos:step expands
ALTER TABLE member ADD COLUMN email text;
CREATE FUNCTION keep_equal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.email IS DISTINCT FROM old.email THEN
        new.mail := new.email;
    ELSE
        new.email := new.mail;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER keep_equal BEFORE UPDATE ON member FOR EACH ROW EXECUTE FUNCTION keep_equal();
UPDATE member SET email = mail WHERE email IS DISTINCT FROM mail;

-- chaos:check
SELECT results_eq(
    'SELECT mail, email FROM member ORDER BY id',
    $$SELECT name || '@example.org', name || '@example.org' FROM unnest(ARRAY['ann', 'bob', 'cid']) AS name$$,
    'both names have what either code wrote');

-- chaos:mutant the column is renamed
-- chaos:session migration
-- chaos:step expands
ALTER TABLE member RENAME COLUMN mail TO email;
-- chaos:caught by 'undefined_column'

-- chaos:mutant no trigger keeps the columns equal
-- chaos:replace 'BEFORE UPDATE ON member' with 'BEFORE DELETE ON member' in migration
-- chaos:caught by 'both names have what either code wrote'

-- chaos:mutant the old rows are forgotten
-- chaos:replace 'UPDATE member SET email = mail WHERE email IS DISTINCT FROM mail' with '' in migration
-- chaos:caught by 'both names have what either code wrote'
