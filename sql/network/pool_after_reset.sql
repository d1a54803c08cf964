-- A pool whose connections were all reset serves on, with the settings that its clients need
-- Reference: PostgreSQL docs, "SET"; https://github.com/brettwooldridge/HikariCP/wiki/Rapid-Recovery
--
-- A load balancer is restarted: every connection that passes it is reset at once, also while the server answers. The pool
-- connects again with the next request. What was set on the old connections is gone, so that each request must set what
-- it needs; and a request whose answer was lost is sent again, so that it must be harmless to do it twice.

-- chaos:tags concurrent

-- chaos:setup
CREATE TABLE visit (request text PRIMARY KEY, tenant text NOT NULL);

-- chaos:session web x 3 repeat 3 retry 08006 unknown
BEGIN;
SET LOCAL app.tenant = 'north';
-- chaos:fault reset of server during on 4th execution
INSERT INTO visit VALUES (format('%s/%s', :worker, :iteration), current_setting('app.tenant', true))
    ON CONFLICT (request) DO NOTHING;
COMMIT;
-- chaos:fault reset of server during on 8th execution
INSERT INTO visit VALUES (format('%s/%s after', :worker, :iteration), 'none') ON CONFLICT (request) DO NOTHING;

-- chaos:check
SELECT is((SELECT count(*) FROM visit WHERE tenant = 'north'), 9::bigint, 'each request is done once, for its tenant');
SELECT is((SELECT count(*) FROM visit), 18::bigint, 'nothing is missing');
SELECT cmp_ok(count(*), '>=', 2::bigint, 'connections were reset') FROM chaos.history WHERE sqlstate = '08006';

-- chaos:mutant the pool does not send a request again
-- chaos:session web retry none
BEGIN;
SET LOCAL app.tenant = 'north';
-- chaos:fault reset of server during on 4th execution
INSERT INTO visit VALUES (format('%s/%s', :worker, :iteration), current_setting('app.tenant', true))
    ON CONFLICT (request) DO NOTHING;
COMMIT;
-- chaos:caught by '08006'

-- chaos:mutant the tenant is set when the pool connects
-- chaos:session web x 3 repeat 3 retry 08006 unknown
SET app.tenant = 'north';
-- chaos:fault reset of server before on 4th execution
INSERT INTO visit VALUES (format('%s/%s', :worker, :iteration), coalesce(current_setting('app.tenant', true), 'none'))
    ON CONFLICT (request) DO NOTHING;
-- chaos:caught by 'each request is done once, for its tenant'

-- chaos:mutant a request has no key
-- chaos:session web
BEGIN;
SET LOCAL app.tenant = 'north';
INSERT INTO visit VALUES (format('%s/%s', :worker, :iteration), current_setting('app.tenant', true))
    ON CONFLICT (request) DO NOTHING;
COMMIT;
-- chaos:fault reset of server during on 8th execution
INSERT INTO visit VALUES (gen_random_uuid(), 'none');
-- chaos:caught by 'nothing is missing'
