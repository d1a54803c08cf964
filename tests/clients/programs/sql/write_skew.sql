BEGIN;
\if :repaired
SELECT id FROM doctor ORDER BY id FOR UPDATE;
\endif
SELECT count(*) > 1 AS others FROM doctor WHERE on_call \gset
\if :others
UPDATE doctor SET on_call = false WHERE id = :worker;
\endif
COMMIT;
