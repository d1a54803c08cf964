-- All connections are used up: who has one goes on, who needs one is refused, and gets one when they are free again
-- Reference: PostgreSQL docs, "Connections and Authentication", max_connections
--
-- A hog takes every connection that the server has left, and gives them back. A client whose connection breaks meanwhile
-- cannot come back before that; one that kept its connection works on.

-- chaos:tags destructive
-- chaos:sandbox server
-- chaos:server max_connections = 20
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE visit (visitor text PRIMARY KEY);

-- chaos:session hog
-- chaos:wait for broken
-- chaos:fault fill connections during
SELECT chaos.signal('full'), chaos.wait_for('refused');
-- chaos:signal freed

-- chaos:session keeper
SELECT chaos.wait_for('full');
-- chaos:signal full
-- chaos:wait for refused
INSERT INTO visit VALUES ('keeper');
SELECT chaos.signal('refused');

-- chaos:session comer
-- chaos:fault terminate after
SELECT 'its connection breaks';
-- chaos:signal broken
-- chaos:wait for full
-- chaos:expect admin_shutdown
SELECT 'it notices';
-- chaos:expect too_many_connections
INSERT INTO visit VALUES ('comer');
-- chaos:signal refused
-- chaos:wait for freed
INSERT INTO visit VALUES ('comer');

-- chaos:check
SELECT results_eq(
    'SELECT visitor FROM visit ORDER BY visitor', ARRAY['comer', 'keeper'], 'both have been there in the end');

-- chaos:mutant nothing is used up
-- chaos:session hog
-- chaos:wait for broken
SELECT chaos.signal('full'), chaos.wait_for('refused');
-- chaos:signal freed
-- chaos:caught by 'too_many_connections'

-- chaos:mutant the comer does not try again
-- chaos:session comer
-- chaos:fault terminate after
SELECT 'its connection breaks';
-- chaos:signal broken
-- chaos:wait for full
-- chaos:expect admin_shutdown
SELECT 'it notices';
-- chaos:expect too_many_connections
INSERT INTO visit VALUES ('comer');
-- chaos:signal refused
-- chaos:caught by 'both have been there in the end'
