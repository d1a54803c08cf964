-- A disk that is full fails who needs more of it, and nobody else
-- Reference: PostgreSQL docs, "Disk Full Failure"; CREATE TABLESPACE
--
-- The archive lies on a disk of its own. When that is full, INSERT fails with 53100 and takes nothing with it: the server
-- stays up, what was there can be read, other disks are written to, and with room again all goes on.

-- chaos:tags destructive
-- chaos:sandbox server
-- chaos:timeout 30s

-- chaos:setup
CREATE TABLE archive (id int PRIMARY KEY, page text) TABLESPACE chaos_disk;
CREATE TABLE entry (id int PRIMARY KEY);
INSERT INTO archive SELECT id, repeat('x', 1000) FROM generate_series(1, 100) AS id;

-- chaos:session archiver
-- chaos:fault fill disk during
-- chaos:expect disk_full
INSERT INTO archive SELECT id, repeat('x', 1000) FROM generate_series(101, 1100) AS id;
INSERT INTO entry VALUES (1);
INSERT INTO archive SELECT id, repeat('x', 1000) FROM generate_series(101, 1100) AS id;

-- chaos:check
SELECT is(count(*), 1100::bigint, 'with room again all pages are archived, once') FROM archive;
SELECT is(count(*), 1::bigint, 'another disk was written to') FROM entry;
SELECT is_empty($$SELECT * FROM chaos.history WHERE sqlstate IN ('08006', '57P01')$$, 'the server stayed up');

-- chaos:mutant the disk is not full
-- chaos:session archiver
-- chaos:expect disk_full
INSERT INTO archive SELECT id, repeat('x', 1000) FROM generate_series(101, 1100) AS id;
-- chaos:caught by 'disk_full'

-- chaos:mutant the archive lies elsewhere
-- chaos:replace 'TABLESPACE chaos_disk' with '' in setup
-- chaos:caught by 'disk_full'
