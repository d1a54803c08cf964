-- Two scripts that move money in opposite directions do not deadlock
-- Reference: PostgreSQL docs, "Deadlocks"; PostgreSQL docs, psql (ON_ERROR_STOP)
--
-- The sessions are psql, each with transfer.psql beside this file: one moves money from account 1 to 2, the other from 2 to 1.
-- Each locks the account that it takes from, and then waits for the other's: the server ends one of them, and its script stops
-- with exit status 3. Locked in the order of their numbers, the accounts are waited for, and both transfers are made.

-- chaos:tags concurrent
-- chaos:timeout 2min
-- chaos:requires program psql
-- chaos:schedule explore 16

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);

-- chaos:session there run 'psql -X -q -v ON_ERROR_STOP=1 -v sorted=1 -v from=1 -v to=2 -f transfer.psql'
-- chaos:session back run 'psql -X -q -v ON_ERROR_STOP=1 -v sorted=1 -v from=2 -v to=1 -f transfer.psql'

-- chaos:check
SELECT results_eq('SELECT balance FROM account ORDER BY id', ARRAY[100, 100], 'both transfers are made');

-- chaos:mutant the accounts are locked in the order of each transfer
-- chaos:session there run 'psql -X -q -v ON_ERROR_STOP=1 -v sorted=0 -v from=1 -v to=2 -f transfer.psql'
-- chaos:session back run 'psql -X -q -v ON_ERROR_STOP=1 -v sorted=0 -v from=2 -v to=1 -f transfer.psql'
-- chaos:caught by 'exit 3'
