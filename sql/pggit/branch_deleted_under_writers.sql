-- A branch is deleted while another session commits on it
-- Reference: pgGit 0.1.3, delete_branch; git-branch(1), -D
--
-- The deletion waits for the commit and then removes the branch with everything on it: no commit and no object is left
-- without a branch, main keeps what it has, and a new branch of the same name begins anew.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '42P01' delete_branch deletes from a table pggit.refs that does not exist when pggit = shipped
-- chaos:schedule writer.begins writer.commits owner.deletes reader.reads writer.ends owner.creates

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/delete_branch.psql
\endif
CREATE TABLE public.orders (id int);
SELECT pggit.create_branch('feature');
SELECT pggit.create_commit('main', 'on main', 'SELECT 1');

-- chaos:session writer
-- chaos:step begins
BEGIN;
-- chaos:step commits
SELECT pggit.create_commit('feature', 'on the branch', 'SELECT 2');
-- chaos:step ends
COMMIT;

-- chaos:session owner
-- chaos:step deletes
SELECT pggit.delete_branch('feature', true);
-- chaos:step creates
SELECT pggit.create_branch('feature');

-- chaos:session reader
-- chaos:step reads
SELECT chaos.assert(count(*) = 1, 'until it is deleted, the branch is listed') FROM pggit.list_branches() WHERE branch_name = 'feature';

-- chaos:check
SELECT results_eq('SELECT message FROM pggit.commits', ARRAY['on main'], 'main keeps its commit, and no other is left');
SELECT is(
    (SELECT count(*)::int FROM pggit.objects WHERE branch_name = 'feature' AND full_name = 'public.orders'), 1, 'the new branch has the objects of main');
SELECT is(
    (SELECT waited_on FROM chaos.history WHERE session = 'owner' AND step = 'deletes'), 'writer[1]', 'the deletion waited for the commit');

-- chaos:mutant objects of the branch stay when pggit = repaired
-- chaos:replace 'DELETE FROM pggit.objects WHERE branch_name = p_branch_name' with 'PERFORM' in setup
-- chaos:caught by '23505'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '42P01'
