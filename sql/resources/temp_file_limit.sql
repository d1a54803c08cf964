-- A report that needs more room for temporary files than it may have fails alone
-- Reference: PostgreSQL docs, "Resource Consumption", temp_file_limit
--
-- With little work_mem a sort goes to temporary files, and temp_file_limit ends it with 53400 in the middle, before it
-- fills the disk for all. Its files are removed at once, and who writes meanwhile is not disturbed.

-- chaos:tags concurrent
-- chaos:sandbox server
-- chaos:server work_mem = 64kB
-- chaos:server temp_file_limit = 1MB
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE request (who text PRIMARY KEY);
CREATE TABLE sale (id int PRIMARY KEY, note text NOT NULL);
INSERT INTO sale SELECT id, md5(id::text) || repeat('x', 200) FROM generate_series(1, 20000) AS id;

-- chaos:session report
BEGIN;
INSERT INTO request VALUES ('report');
SAVEPOINT before_report;
-- chaos:barrier at_work
-- chaos:expect configuration_limit_exceeded
SELECT note FROM sale ORDER BY note OFFSET 19999;
ROLLBACK TO before_report;
SELECT chaos.assert(count(*) = 0, 'no temporary file is left') FROM pg_ls_tmpdir();
SELECT chaos.assert((SELECT count(*) FROM (SELECT note FROM sale WHERE id BETWEEN 1 AND 100 ORDER BY note) AS few) = 100,
                    'a smaller report comes out');
COMMIT;

-- chaos:session seller
-- chaos:barrier at_work
INSERT INTO sale VALUES (0, 'sold meanwhile');

-- chaos:check
SELECT is(count(*), 20001::bigint, 'the seller was not disturbed') FROM sale;
SELECT results_eq('SELECT who FROM request', ARRAY['report'], 'what the report did before is committed');
SELECT is(count(*), 1::bigint, 'the report went on after its savepoint')
  FROM chaos.transactions WHERE session = 'report' AND outcome = 'committed';

-- chaos:mutant nothing limits temporary files
-- chaos:replace 'SAVEPOINT before_report' with 'SAVEPOINT before_report \; SET LOCAL temp_file_limit = -1' in report
-- chaos:caught by 'configuration_limit_exceeded'

-- chaos:mutant the report has no savepoint
-- chaos:session report
BEGIN;
-- chaos:barrier at_work
-- chaos:expect configuration_limit_exceeded
SELECT note FROM sale ORDER BY note OFFSET 19999;
COMMIT;
-- chaos:caught by 'the report went on after its savepoint'

-- chaos:mutant the report begins anew
-- chaos:replace 'ROLLBACK TO before_report' with 'ROLLBACK; BEGIN' in report
-- chaos:caught by 'what the report did before is committed'
