-- An installation that is stopped half way leaves nothing, and can be repeated
-- Reference: PostgreSQL docs, CREATE EXTENSION; pgGit 0.1.3
--
-- The session that installs is terminated in the middle of the script, while another waits to install too. The second
-- installation finds nothing of the first, and works.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser

-- chaos:setup
DROP EXTENSION pggit CASCADE;
CREATE FUNCTION public.stop() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    -- where the script has made this table, half of it is done
    IF to_regclass('pggit.temporal_snapshots') IS NOT NULL AND current_setting('application_name') ~ '^doomed' THEN
        PERFORM chaos.wait_for('never', '20s');
    END IF;
END $$;
CREATE EVENT TRIGGER stop ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.stop();

-- chaos:session doomed allow 57P01
-- chaos:fault terminate during after 500ms
CREATE EXTENSION pggit;
-- chaos:signal terminated

-- chaos:session heir
-- chaos:wait for terminated
SELECT chaos.assert(count(*) = 0, 'nothing of the first installation is there') FROM pg_class WHERE relnamespace = to_regnamespace('pggit');
CREATE EXTENSION pggit;
SELECT pggit.create_commit('main', 'the first', 'SELECT 1');

-- chaos:check
SELECT is((SELECT count(*)::int FROM chaos.history WHERE session = 'doomed' AND sqlstate = '57P01'), 1, 'the first installation was stopped');
SELECT results_eq('SELECT message FROM pggit.commits', ARRAY['the first'], 'the second works');
SELECT is((SELECT count(*)::int FROM pg_event_trigger WHERE evtname ~ '^pggit_'), 2, 'with its event triggers');

-- chaos:mutant the heir does not install
-- chaos:replace 'CREATE EXTENSION pggit; ' with '' in heir
-- chaos:caught by '42883'
