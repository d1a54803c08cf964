-- A commit whose answer is lost is paid once
-- Reference: https://brandur.org/idempotency-keys; PostgreSQL docs, "Write-Ahead Logging"
--
-- The connection breaks while COMMIT runs: the client cannot know whether it was done. So it pays again under the same
-- key, and the key sees to it that this does nothing where the first payment came through (done = yes), and pays where
-- it did not (done = no: the commit is killed while a deferred trigger still holds it up).

-- chaos:tags destructive recovery
-- chaos:sandbox server
-- chaos:matrix done in yes, no
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE payment (key text PRIMARY KEY, amount int NOT NULL);
INSERT INTO account VALUES (1, 100);
CREATE TABLE born AS SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer';
SELECT :'done' = 'no' AS held_up \gset
\if :held_up
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- until the crash
    PERFORM pg_sleep(60) FROM pg_stat_activity JOIN born USING (backend_start) WHERE backend_type = 'checkpointer';
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT ON payment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hold_up();
\endif

-- chaos:session client retry unknown
BEGIN;
WITH paid AS (
    INSERT INTO payment VALUES ('order 1', 10) ON CONFLICT (key) DO NOTHING RETURNING amount
)
UPDATE account SET balance = balance - amount FROM paid;
-- chaos:fault kill during
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT outcome, sqlstate FROM chaos.transactions ORDER BY attempt',
    $$VALUES ('unknown', '08006'), ('committed', '00000')$$, 'the first answer was lost');
SELECT is((SELECT balance FROM account), 90, 'the order was paid once');
SELECT results_eq('SELECT key, amount FROM payment', $$VALUES ('order 1', 10)$$, 'and was written down once');

-- chaos:mutant nothing is killed when done = yes
-- chaos:session client
BEGIN;
WITH paid AS (
    INSERT INTO payment VALUES ('order 1', 10) ON CONFLICT (key) DO NOTHING RETURNING amount
)
UPDATE account SET balance = balance - amount FROM paid;
COMMIT;
-- chaos:caught by 'the first answer was lost'

-- chaos:mutant there is no key when done = yes
-- chaos:replace 'key text PRIMARY KEY' with 'key text' in setup
-- chaos:replace 'ON CONFLICT (key) DO NOTHING' with '' in client
-- chaos:caught by 'the order was paid once'

-- chaos:mutant nobody tries again when done = no
-- chaos:session client allow connection_failure retry none
BEGIN;
WITH paid AS (
    INSERT INTO payment VALUES ('order 1', 10) ON CONFLICT (key) DO NOTHING RETURNING amount
)
UPDATE account SET balance = balance - amount FROM paid;
-- chaos:fault kill during
COMMIT;
-- chaos:caught by 'the order was paid once'

-- chaos:mutant the payment is not written down as asked for
-- chaos:replace '''order 1'', 10)' with '''order 1'', 20)' in client
-- chaos:caught by 'and was written down once'
