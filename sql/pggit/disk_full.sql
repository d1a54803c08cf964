-- A full disk fails the commit that needs more of it, and loses no other
-- Reference: PostgreSQL docs, "Disk Full Failure"; pgGit 0.1.3, create_commit
--
-- The commits lie on a disk that fills up while a script commits. It gets 53100, not a commit that is not there; with room
-- again it commits the same. Every acknowledged commit can be read, with all of its message.

-- chaos:tags destructive
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:sandbox server

-- chaos:setup
ALTER TABLE pggit.commits SET TABLESPACE chaos_disk;
-- a message is as long as it is: not compressed, and in the table
ALTER TABLE pggit.commits ALTER COLUMN message SET STORAGE PLAIN;

-- chaos:session script
SELECT count(pggit.create_commit('main', n || repeat('x', 6000), n || ' is first')) AS done FROM generate_series(1, 10) AS n \gset
-- chaos:fault fill disk during
-- chaos:expect disk_full
SELECT count(pggit.create_commit('main', n || repeat('x', 6000), n || ' is second')) FROM generate_series(11, 200) AS n;
SELECT chaos.assert(count(*) = 10, 'nothing of what failed is there') FROM pggit.commits;
SELECT count(pggit.create_commit('main', n || repeat('x', 6000), n || ' is second')) AS done FROM generate_series(11, 200) AS n \gset

-- chaos:check
SELECT is((SELECT count(*)::int FROM pggit.commits WHERE length(message) > 6000), 200, 'every commit is there, with its message');
SELECT is_empty($$SELECT FROM chaos.history WHERE sqlstate IN ('08006', '57P01')$$, 'the server stayed up');

-- chaos:mutant the disk is not full
-- chaos:session script
-- chaos:expect disk_full
SELECT count(pggit.create_commit('main', n || repeat('x', 6000), n || ' is second')) FROM generate_series(1, 200) AS n;
-- chaos:caught by 'disk_full'
