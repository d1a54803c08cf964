-- A report that only reads sees what never was
-- Reference: Fekete, O'Neil, O'Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation", SIGMOD Record 2004
--
-- The withdrawal sees no deposit and charges a fee for the overdraft. The report, between the two, sees the deposit and
-- no withdrawal: so the deposit came first, and there was nothing to charge. Without the report the two are fine.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:matrix level in 'repeatable read', 'serializable'
-- chaos:xfail 'no fee where the report saw the deposit first' a snapshot is not an order when level = 'repeatable read'
-- chaos:schedule withdrawal.looks deposit.pays report.reads withdrawal.takes

-- chaos:setup
CREATE TABLE account (name text PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES ('checking', 0), ('savings', 0);

-- chaos:session withdrawal retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT CASE WHEN sum(balance) < 10 THEN 1 ELSE 0 END AS fee FROM account \gset
-- chaos:step takes
UPDATE account SET balance = balance - 10 - :fee WHERE name = 'checking';
COMMIT;

-- chaos:session deposit
-- chaos:step pays
BEGIN ISOLATION LEVEL :level;
UPDATE account SET balance = balance + 20 WHERE name = 'savings';
COMMIT;

-- chaos:session report
-- chaos:step reads
BEGIN ISOLATION LEVEL :level READ ONLY;
SELECT chaos.assert(sum(balance) = 20, 'the report saw the deposit and no withdrawal') FROM account;
COMMIT;

-- chaos:check
SELECT is(
    (SELECT balance FROM account WHERE name = 'checking'), -10, 'no fee where the report saw the deposit first');
SELECT is((SELECT balance FROM account WHERE name = 'savings'), 20, 'the deposit is there');
SELECT is(count(*), 3::bigint, 'all three committed') FROM chaos.transactions WHERE outcome = 'committed';

-- chaos:mutant the report is not serializable
-- chaos:replace ':level READ ONLY' with 'REPEATABLE READ READ ONLY' in report
-- chaos:caught by 'no fee where the report saw the deposit first'

-- chaos:mutant the withdrawal does not compute its fee again
-- chaos:session withdrawal
-- chaos:step looks
SELECT CASE WHEN sum(balance) < 10 THEN 1 ELSE 0 END AS fee FROM account \gset
-- chaos:step takes
BEGIN ISOLATION LEVEL :level;
UPDATE account SET balance = balance - 10 - :fee WHERE name = 'checking';
COMMIT;
-- chaos:caught by 'no fee where the report saw the deposit first'

-- chaos:mutant the account is closed
-- chaos:replace 'UPDATE account SET balance = balance - 10 - :fee' with 'DELETE FROM account' in withdrawal
-- chaos:caught by 'no fee where the report saw the deposit first'
