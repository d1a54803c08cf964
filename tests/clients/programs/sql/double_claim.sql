BEGIN;
\if :repaired
SELECT id AS job FROM job WHERE taken_by IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
\else
SELECT id AS job FROM job WHERE taken_by IS NULL ORDER BY id LIMIT 1 \gset
\endif
UPDATE job SET taken_by = :worker WHERE id = :job;
INSERT INTO done (job) VALUES (:job);
COMMIT;
