-- A long history is told as a whole, or the client is told why not
-- Reference: PostgreSQL docs, temp_file_limit, work_mem; pgGit 0.1.3, get_history
--
-- Two clients ask for the history of an object that has changed 4000 times, with little memory. One may use temporary
-- files and gets all of it; the other may not and gets 53400, not a history that is cut short.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser

-- chaos:setup
SELECT pggit.ensure_object('VIEW', 'public', 'report') AS id \gset
INSERT INTO pggit.history (object_id, change_type, change_severity, new_version, change_description)
SELECT :id, 'ALTER', 'PATCH', n, repeat(md5(n::text), 10) FROM generate_series(1, 4000) AS n;

-- chaos:session rich
SET work_mem = '64kB';
-- chaos:barrier ready
SELECT count(*) AS told, max(version) AS latest FROM pggit.get_history('public.report', 4000) \gset

-- chaos:session poor
SET work_mem = '64kB';
SET temp_file_limit = '64kB';
-- chaos:barrier ready
-- chaos:expect configuration_limit_exceeded
SELECT count(*) FROM pggit.get_history('public.report', 4000);

-- chaos:check
SELECT is((SELECT variables->>'told' FROM chaos.acknowledged WHERE variables ? 'told'), '4000', 'one is told all of it');
SELECT is((SELECT variables->>'latest' FROM chaos.acknowledged WHERE variables ? 'told'), '4000', 'up to the latest version');

-- chaos:mutant the poor client is rich
-- chaos:replace 'SET temp_file_limit = ''64kB''' with 'SET temp_file_limit = -1' in poor
-- chaos:caught by 'configuration_limit_exceeded'

-- chaos:mutant the history is cut short
DELETE FROM pggit.history WHERE new_version = 4000;
-- chaos:caught by 'up to the latest version'
