BEGIN;
\if :repaired
INSERT INTO tag (name) VALUES ('news') ON CONFLICT DO NOTHING;
SELECT id FROM tag WHERE name = 'news';
\else
SELECT count(*) = 0 AS missing FROM tag WHERE name = 'news' \gset
\if :missing
INSERT INTO tag (name) VALUES ('news');
\endif
\endif
COMMIT;
