BEGIN;
\if :repaired
UPDATE account SET balance = balance + CASE :worker WHEN 1 THEN -5 ELSE 5 END WHERE id = 1;
UPDATE account SET balance = balance + CASE :worker WHEN 2 THEN -5 ELSE 5 END WHERE id = 2;
\else
UPDATE account SET balance = balance - 5 WHERE id = :worker;
UPDATE account SET balance = balance + 5 WHERE id = 3 - :worker;
\endif
COMMIT;
