-- A deployment whose session is killed does not lock out the next one
-- Reference: pgGit's main branch, begin_deployment, end_deployment
--
-- A session begins a deployment and its connection is cut before it ends it. The operator sees that a deployment is on,
-- ends it, and the next one begins and ends; what was done in between is tracked.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3 with begin_deployment

-- chaos:session doomed allow 57P01
SELECT pggit.begin_deployment('first');
CREATE TABLE public.half_done (id int);
-- chaos:fault terminate before
SELECT pggit.end_deployment('first');
-- chaos:signal terminated

-- chaos:session operator
-- chaos:wait for terminated
SELECT chaos.assert(pggit.in_deployment_mode(), 'the deployment is still on');
SELECT pggit.end_deployment('given up');
SELECT pggit.begin_deployment('second');
CREATE TABLE public.done (id int);
SELECT pggit.end_deployment('second');

-- chaos:check
SELECT ok((SELECT NOT pggit.in_deployment_mode()), 'no deployment is on');
SELECT is((SELECT count(*)::int FROM pggit.objects WHERE full_name IN ('public.half_done', 'public.done') AND is_active), 2, 'both tables are tracked');

-- chaos:mutant the operator forgets the second
-- chaos:replace 'SELECT pggit.end_deployment(''second'')' with 'SELECT 1' in operator
-- chaos:caught by 'no deployment is on'
