-- Transfers at the same time neither make nor lose money, and overdraw no account
-- Reference: PostgreSQL docs, "Explicit Locking", Deadlocks; "Data Consistency Checks at the Application Level"
--
-- A search looks for an order of the clients' statements that breaks the sum. For your own tables set `setup` (a file that
-- makes them, with accounts), `table`, `column`, and `transfer`: a file of what each client sends, with BEGIN and COMMIT.
-- `:worker` is its number.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:default setup = tables/ledger.psql
-- chaos:default table = account
-- chaos:default column = balance
-- chaos:default transfer = tables/transfer.psql
-- chaos:default clients = 2
-- chaos:default orders = 20
-- chaos:schedule explore :orders

-- chaos:setup
\i :setup
RESET search_path;
CREATE TABLE before_it AS SELECT sum(:column) AS total FROM :table;

-- chaos:session client x :clients retry 40001
\i :transfer

-- chaos:invariant
SELECT sum(:column) = (SELECT total FROM before_it) AS "the sum stays" FROM :table;
SELECT min(:column) >= 0 AS "no account is overdrawn" FROM :table;

-- chaos:mutant the balance is read, then written
-- chaos:session client
SELECT :column AS value FROM :table ORDER BY 1 DESC LIMIT 1 \gset
UPDATE :table SET :column = :value - 10 WHERE ctid = (SELECT ctid FROM :table ORDER BY :column DESC LIMIT 1);
-- chaos:caught by 'the sum stays'
