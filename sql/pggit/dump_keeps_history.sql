-- A dump contains the history
-- Reference: PostgreSQL docs, "Extension Configuration Tables", pg_extension_config_dump; pg_dump(1)
--
-- pg_dump writes CREATE EXTENSION for the tables of an extension, and the rows only of those that the extension has named.
-- Whoever restores a dump must find commits, branches, objects, history and migrations in it. That a real dump has them
-- is shown by tests/chaos/test_pggit.py.

-- chaos:tags smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'a dump has the rows of every table that is not empty' the installation never calls pg_extension_config_dump when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
-- outside the script of an extension, the catalog has to be written by hand
SET allow_system_table_mods = on;
UPDATE pg_extension SET
    extconfig = (SELECT array_agg(format('pggit.%I', name)::regclass::oid ORDER BY name) FROM unnest(ARRAY['branches', 'commits', 'history', 'migrations', 'objects']) AS name),
    extcondition = array_fill(''::text, ARRAY[5])
WHERE extname = 'pggit';
RESET allow_system_table_mods;
\endif

-- chaos:session owner
SELECT pggit.create_commit('main', 'to be kept', 'SELECT 1');
CREATE TABLE public.orders (id int);
INSERT INTO pggit.migrations (version, up_script) VALUES ('1', 'SELECT 1');

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.commits), 1, 'there is something to keep');
SELECT is_empty(
    $$SELECT c.relname FROM pg_class AS c JOIN (VALUES ('branches'), ('commits'), ('history'), ('migrations'), ('objects')) AS kept (name) ON c.relname = name
      WHERE relnamespace = 'pggit'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pggit' AND c.oid = ANY(extconfig))$$,
    'a dump has the rows of every table that is not empty');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'a dump has the rows of every table that is not empty'
