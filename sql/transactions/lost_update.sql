-- Two tellers read the same balance, and each writes back what it computed
-- Reference: Martin Kleppmann, "Hermitage", P4 lost update; PostgreSQL docs, "Transaction Isolation"
--
-- Both tellers have read before either writes. Read committed lets the second overwrite the first: a deposit is lost,
-- and that is known to be so. From repeatable read on the second gets 40001, and must be sent again.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:matrix level in 'read committed', 'repeatable read', 'serializable'
-- chaos:xfail 'no deposit is lost' read committed writes over what it did not read when level = 'read committed'
-- chaos:schedule teller[1].reads teller[2].reads teller[1].writes teller[2].writes teller[1].ends teller[2].ends

-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100);

-- chaos:session teller x 2 retry serialization_failure
-- chaos:step reads
BEGIN ISOLATION LEVEL :level;
SELECT balance FROM account WHERE id = 1 \gset
-- chaos:step writes
UPDATE account SET balance = :balance + 10 WHERE id = 1;
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT is((SELECT balance FROM account), 120, 'no deposit is lost');
SELECT is(count(*), 2::bigint, 'both tellers were told that they had committed')
  FROM chaos.transactions WHERE outcome = 'committed';
SELECT is(count(*) = 1, :'level' <> 'read committed', 'the second teller had to try again, except at read committed')
  FROM chaos.transactions WHERE sqlstate = '40001';

-- chaos:mutant the tellers read and write at read committed
-- chaos:replace ':level' with 'READ COMMITTED' in teller
-- chaos:caught by 'no deposit is lost'

-- chaos:mutant a refused teller does not try again
-- chaos:session teller retry none allow serialization_failure
-- chaos:step reads
BEGIN ISOLATION LEVEL :level;
SELECT balance FROM account WHERE id = 1 \gset
-- chaos:step writes
UPDATE account SET balance = :balance + 10 WHERE id = 1;
-- chaos:step ends
COMMIT;
-- chaos:caught by 'no deposit is lost'
-- chaos:caught by 'both tellers were told that they had committed'

-- chaos:mutant the balance is not read again
-- chaos:session teller
-- chaos:step reads
SELECT balance FROM account WHERE id = 1 \gset
-- chaos:step writes
BEGIN ISOLATION LEVEL :level;
UPDATE account SET balance = :balance + 10 WHERE id = 1;
-- chaos:step ends
COMMIT;
-- chaos:caught by 'no deposit is lost'

-- chaos:mutant a deposit is paid in twice
-- chaos:replace ':balance + 10' with ':balance + 20' in teller
-- chaos:caught by 'no deposit is lost'
