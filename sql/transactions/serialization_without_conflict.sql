-- Two serializable transactions work on rows of their own, and none is turned away
-- Reference: Ports, Grittner, "Serializable Snapshot Isolation in PostgreSQL", VLDB 2012; PostgreSQL docs, "Serializable"
--
-- Each reads and writes its own account. By the index only the row is noted as read. A sequential scan notes the whole
-- table: then each seems to have read what the other wrote, and one fails with 40001 for no reason.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule one.reads two.reads one.writes two.writes

-- chaos:setup
CREATE TABLE account (id int CONSTRAINT account_id PRIMARY KEY, balance int NOT NULL) WITH (fillfactor = 50);
INSERT INTO account SELECT id, 100 FROM generate_series(1, 1000) AS id;
ANALYZE account;

-- chaos:session one
-- chaos:step reads
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT balance FROM account WHERE id = 1 \gset
-- chaos:step writes
UPDATE account SET balance = :balance + 10 WHERE id = 1;
COMMIT;

-- chaos:session two
-- chaos:step reads
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT balance FROM account WHERE id = 1000 \gset
-- chaos:step writes
UPDATE account SET balance = :balance + 20 WHERE id = 1000;
COMMIT;

-- chaos:check
SELECT results_eq(
    'SELECT balance FROM account WHERE id IN (1, 1000) ORDER BY id', ARRAY[110, 120], 'both have written');
SELECT is((SELECT count(*) FROM chaos.transactions WHERE outcome = 'committed'), 2::bigint, 'at the first try');

-- chaos:mutant there is no index
ALTER TABLE account DROP CONSTRAINT account_id;
-- chaos:caught by 'serialization_failure'

-- chaos:mutant one transaction writes what it has read
-- chaos:replace ':balance + 20' with ':balance' in two
-- chaos:caught by 'both have written'
