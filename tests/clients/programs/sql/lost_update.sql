-- for psql and pgbench, which both know \gset and \if
BEGIN;
\if :repaired
SELECT balance + 10 AS balance FROM account WHERE id = 1 FOR UPDATE \gset
\else
SELECT balance + 10 AS balance FROM account WHERE id = 1 \gset
\endif
UPDATE account SET balance = :balance WHERE id = 1;
COMMIT;
