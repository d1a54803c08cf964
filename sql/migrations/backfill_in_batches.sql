-- A new column is filled in batches while the shop changes prices
-- Reference: GitLab docs, "Batched background migrations"; Braintree, "Safe Operations For High Volume PostgreSQL"
--
-- A trigger keeps the new column for new writes, short transactions fill the old rows. Each batch computes the value in
-- the UPDATE itself: who reads a price first and writes it later puts back what the shop has changed meanwhile.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule explore 20

-- chaos:setup
CREATE TABLE item (id int PRIMARY KEY, price int NOT NULL, cents int);
INSERT INTO item (id, price) SELECT id, 10 FROM generate_series(1, 4) AS id;
CREATE FUNCTION keep_cents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.cents := new.price * 100;
    RETURN new;
END $$;
CREATE TRIGGER keep_cents BEFORE INSERT OR UPDATE OF price ON item FOR EACH ROW EXECUTE FUNCTION keep_cents();

-- chaos:session backfill repeat 2
UPDATE item SET cents = price * 100 WHERE cents IS NULL AND id BETWEEN :iteration * 2 - 1 AND :iteration * 2;

-- chaos:session shop
-- chaos:step changes_one
UPDATE item SET price = 20 WHERE id = 1;
-- chaos:step changes_more
BEGIN;
UPDATE item SET price = 30 WHERE id = 4;
INSERT INTO item VALUES (5, 50);
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT id, price, cents FROM item ORDER BY id',
    'VALUES (1, 20, 2000), (2, 10, 1000), (3, 10, 1000), (4, 30, 3000), (5, 50, 5000)', 'all prices are there in cents');

-- chaos:mutant the backfill reads first and writes later
-- chaos:session backfill
SELECT price FROM item WHERE id = 1 \gset
UPDATE item SET cents = :price * 100 WHERE id = 1;
-- chaos:caught by 'all prices are there in cents'

-- chaos:mutant no trigger keeps the new column
DROP TRIGGER keep_cents ON item;
-- chaos:caught by 'all prices are there in cents'

-- chaos:mutant the last batch is forgotten
-- chaos:session backfill repeat 1
UPDATE item SET cents = price * 100 WHERE cents IS NULL AND id BETWEEN :iteration * 2 - 1 AND :iteration * 2;
-- chaos:caught by 'all prices are there in cents'
