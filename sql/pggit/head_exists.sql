-- The head of every branch is a commit that exists
-- Reference: pgGit 0.1.3, create_branch; git-fsck(1), "invalid sha1 pointer"
--
-- A branch leaves main while another session commits on main. The branch begins at a commit of main, so that one can go
-- from its head back to the first commit; what points nowhere is damage that git fsck reports.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the head of the branch is a commit of main' create_branch makes up a hash that no commit has when pggit = shipped
-- chaos:schedule owner.commits owner.begins author.branches owner.ends

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/commit.psql
CREATE FUNCTION pggit.begin_at_parent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT head_commit_hash INTO new.head_commit_hash FROM pggit.branches WHERE id = new.parent_branch_id;
    RETURN new;
END $$;
CREATE TRIGGER begin_at_parent BEFORE INSERT ON pggit.branches FOR EACH ROW EXECUTE FUNCTION pggit.begin_at_parent();
\endif

-- chaos:session owner
-- chaos:step commits
SELECT pggit.create_commit('main', 'the first', 'SELECT 1');
-- chaos:step begins
BEGIN;
SELECT pggit.create_commit('main', 'not yet', 'SELECT 2');
-- chaos:step ends
COMMIT;

-- chaos:session author
-- chaos:step branches
SELECT pggit.create_branch('feature');

-- chaos:check
SELECT is(
    (SELECT c.message FROM pggit.branches AS b JOIN pggit.commits AS c ON c.hash = b.head_commit_hash WHERE b.name = 'feature'),
    'the first', 'the head of the branch is a commit of main');
SELECT is((SELECT count(*)::int FROM pggit.commits), 2, 'both commits are there');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the head of the branch is a commit of main'
