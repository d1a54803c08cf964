-- When no connection is left, who is connected commits, and who was refused commits afterwards
-- Reference: PostgreSQL docs, max_connections, 53300; pgGit 0.1.3, create_commit
--
-- A hog takes all connections. The developer's connection stays, so commits and DDL go on; the latecomer's breaks, and
-- every try to come back is refused until the connections are free. No commit that was acknowledged is lost.

-- chaos:tags destructive
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:sandbox server
-- chaos:server max_connections = 20

-- chaos:session hog
-- chaos:wait for broken
-- chaos:fault fill connections during
SELECT chaos.signal('full'), chaos.wait_for('refused');
-- chaos:signal freed

-- chaos:session developer
SELECT pggit.create_commit('main', 'before', 'SELECT 1');
SELECT chaos.wait_for('full');
-- chaos:signal full
-- chaos:wait for refused
SELECT pggit.create_commit('main', 'meanwhile', 'SELECT 2');
CREATE TABLE public.meanwhile (id int);
SELECT chaos.signal('refused');

-- chaos:session latecomer
-- chaos:fault terminate after
SELECT 'its connection breaks';
-- chaos:signal broken
-- chaos:wait for full
-- chaos:expect admin_shutdown
SELECT 'it notices';
-- chaos:expect too_many_connections
SELECT pggit.create_commit('main', 'refused', 'SELECT 3');
-- chaos:signal refused
-- chaos:wait for freed
SELECT pggit.create_commit('main', 'late', 'SELECT 3');

-- chaos:check
SELECT bag_eq('SELECT message FROM pggit.commits', $$VALUES ('before'), ('meanwhile'), ('late')$$, 'all acknowledged commits are there, and no other');
SELECT is((SELECT count(*)::int FROM pggit.objects WHERE full_name = 'public.meanwhile' AND is_active), 1, 'DDL was tracked meanwhile');

-- chaos:mutant nothing is used up
-- chaos:session hog
-- chaos:wait for broken
SELECT chaos.signal('full'), chaos.wait_for('refused');
-- chaos:signal freed
-- chaos:caught by 'too_many_connections'
