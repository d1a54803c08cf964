-- Two sessions begin a deployment: one does, the other is told
-- Reference: pgGit's main branch, begin_deployment: "Deployment already in progress"
--
-- The second looks before the first has committed. It waits, and is refused; two deployments at the same time would each
-- end the other.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3 with begin_deployment
-- chaos:schedule one.begins one.deploys two.deploys one.commits one.ends

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step deploys
SELECT pggit.begin_deployment('of one') AS deployment \gset
-- chaos:step commits
COMMIT;
-- chaos:step ends
SELECT chaos.assert(pggit.in_deployment_mode(), 'the deployment of the first is on');
SELECT pggit.end_deployment('of one');

-- chaos:session two allow raise_exception object_in_use
-- chaos:step deploys
SELECT pggit.begin_deployment('of two');

-- chaos:check
SELECT isnt((SELECT sqlstate FROM chaos.history WHERE session = 'two'), '00000', 'the second is told');
SELECT ok((SELECT NOT pggit.in_deployment_mode()), 'no deployment is on');

-- chaos:mutant the second does not deploy
-- chaos:replace 'pggit.begin_deployment(''of two'')' with '1' in two
-- chaos:caught by 'the second is told'
