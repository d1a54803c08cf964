-- Two sessions install pgGit at the same time: it is there once
-- Reference: PostgreSQL docs, CREATE EXTENSION; pgGit 0.1.3
--
-- The second installation waits for the first and is told that the extension exists: an error that a script can expect,
-- not one from the middle of the installation. What is there works, and IF NOT EXISTS changes nothing.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser
-- chaos:schedule one.begins one.installs two.installs one.ends two.installs_again three.commits

-- chaos:setup
DROP EXTENSION pggit CASCADE;

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step installs
CREATE EXTENSION pggit;
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step installs
-- chaos:expect unique_violation duplicate_object
CREATE EXTENSION pggit;
-- chaos:step installs_again
CREATE EXTENSION IF NOT EXISTS pggit;

-- chaos:session three
-- chaos:step commits
CREATE TABLE public.orders (id int);
SELECT pggit.create_commit('main', 'the first', 'CREATE TABLE orders');

-- chaos:check
SELECT is((SELECT count(*)::int FROM pg_extension WHERE extname = 'pggit'), 1, 'pgGit is there once');
SELECT is((SELECT count(*)::int FROM pg_event_trigger WHERE evtname ~ '^pggit_'), 2, 'with its event triggers');
SELECT results_eq('SELECT message FROM pggit.commits', ARRAY['the first'], 'it stores commits');
SELECT is((SELECT count(*)::int FROM pggit.get_history('public.orders')), 1, 'and what was created');

-- chaos:mutant the first installation is rolled back
-- chaos:replace 'COMMIT' with 'ROLLBACK' in one
-- chaos:caught by 'unique_violation'

-- chaos:mutant pgGit is not dropped before
-- chaos:replace 'DROP EXTENSION pggit CASCADE' with 'SELECT 1' in setup
-- chaos:caught by 'duplicate_object'
