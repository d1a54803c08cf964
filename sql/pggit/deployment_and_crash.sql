-- A server crash between the begin and the end of a deployment
-- Reference: pgGit's main branch, begin_deployment; PostgreSQL docs, "Reliability and the Write-Ahead Log"
--
-- The deployment has begun, a table is made, and the server crashes before the deployment ends. After recovery it is on
-- still, with its table, and can be ended; nothing that was acknowledged is lost.

-- chaos:tags recovery
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3 with begin_deployment
-- chaos:sandbox server
-- chaos:server synchronous_commit = on

-- chaos:session owner retry 08006
SELECT pggit.begin_deployment('first');
CREATE TABLE public.orders (id int);
-- chaos:fault crash before
SELECT chaos.assert(pggit.in_deployment_mode(), 'after the crash the deployment is still on');
SELECT pggit.end_deployment('first');

-- chaos:check
SELECT ok((SELECT NOT pggit.in_deployment_mode()), 'it has ended');
SELECT is((SELECT count(*)::int FROM pggit.get_version('public.orders')), 1, 'its table is tracked');

-- chaos:mutant it is never ended
-- chaos:replace 'SELECT pggit.end_deployment(''first'')' with 'SELECT 1' in owner
-- chaos:caught by 'it has ended'
