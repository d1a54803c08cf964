BEGIN;
\if :repaired
SELECT id FROM room WHERE id = 7 FOR UPDATE;
\endif
SELECT count(*) = 0 AS free FROM booking WHERE room = 7 \gset
\if :free
INSERT INTO booking (room, guest) VALUES (7, :worker);
\endif
COMMIT;
