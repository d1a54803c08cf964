-- An ordinary user cannot rewrite commits, history and versions
-- Reference: PostgreSQL docs, GRANT; pgGit 0.1.3, its grants
--
-- What is committed is committed: a role without any privilege of its own may read it, and neither change it nor
-- commit in the name of others, while the owner goes on.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'insufficient_privilege' the installation grants INSERT and UPDATE on most tables to PUBLIC when pggit = shipped
-- chaos:xfail 'the commit says what the owner said' an ordinary user may UPDATE it when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA pggit FROM PUBLIC;
\endif
SELECT format('stranger_%s', (SELECT oid FROM pg_database WHERE datname = current_database())) AS stranger \gset
CREATE ROLE :stranger;
CREATE TABLE public.orders (id int);

-- chaos:session owner
SELECT pggit.create_commit('main', 'of the owner', 'SELECT 1');
-- chaos:signal committed
-- chaos:wait for tried
SELECT pggit.create_commit('main', 'later', 'SELECT 2');

-- chaos:session stranger
-- chaos:wait for committed
SELECT format('stranger_%s', (SELECT oid FROM pg_database WHERE datname = current_database())) AS stranger \gset
SET ROLE :stranger;
SELECT count(*) AS readable FROM pggit.commits \gset
-- chaos:expect insufficient_privilege
UPDATE pggit.commits SET message = 'forged';
-- chaos:expect insufficient_privilege
UPDATE pggit.branches SET status = 'DELETED';
-- chaos:expect insufficient_privilege
UPDATE pggit.objects SET version = 100;
-- chaos:expect insufficient_privilege
DELETE FROM pggit.history;
-- chaos:expect insufficient_privilege
DROP FUNCTION pggit.get_history;
-- chaos:signal tried
RESET ROLE;

-- chaos:check
SELECT is((SELECT string_agg(message, ', ' ORDER BY id) FROM pggit.commits), 'of the owner, later', 'the commit says what the owner said');
SELECT is((SELECT max(variables->>'readable') FROM chaos.acknowledged WHERE session = 'stranger'), '1', 'a stranger may read it');

-- chaos:teardown
SELECT format('stranger_%s', (SELECT oid FROM pg_database WHERE datname = current_database())) AS stranger \gset
DROP ROLE IF EXISTS :stranger;

-- chaos:mutant the stranger owns everything when pggit = repaired
GRANT UPDATE ON pggit.commits TO PUBLIC;
-- chaos:caught by 'the commit says what the owner said'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the commit says what the owner said'
