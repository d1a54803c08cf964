-- Commits of several sessions on one branch are all there
-- Reference: pgGit 0.1.3, create_commit; git-commit(1)
--
-- Three developers commit on main at the same time, five times each. Every commit that was acknowledged is in the branch
-- afterwards, with its message, and no two have the same hash.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3

-- chaos:session developer x 3 repeat 5
SELECT format('change %s of developer %s', :iteration, :worker) AS message \gset
BEGIN;
SELECT pggit.create_commit('main', :'message', 'SELECT ' || :iteration);
-- chaos:barrier committed unless blocked
COMMIT;

-- chaos:check
SELECT is((SELECT count(*)::int FROM chaos.transactions WHERE outcome = 'committed' AND block), 15, 'every commit was acknowledged');
SELECT bag_eq(
    $$SELECT message FROM pggit.commits JOIN pggit.branches AS b ON b.id = branch_id WHERE b.name = 'main'$$,
    $$SELECT variables->>'message' FROM chaos.acknowledged WHERE step = '4'$$, 'every acknowledged commit is in the branch, once');
SELECT is((SELECT count(DISTINCT hash)::int FROM pggit.commits), 15, 'each has a hash of its own');

-- chaos:mutant the branch keeps only its last commit
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM pggit.commits WHERE id < new.id; RETURN NULL; END $$;
CREATE TRIGGER forget AFTER INSERT ON pggit.commits FOR EACH ROW EXECUTE FUNCTION forget();
-- chaos:caught by 'every acknowledged commit is in the branch, once'

-- chaos:mutant a hash says who committed, not what
ALTER TABLE pggit.commits DROP CONSTRAINT commits_hash_key;
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.hash := md5(new.author); RETURN new; END $$;
CREATE TRIGGER forget BEFORE INSERT ON pggit.commits FOR EACH ROW EXECUTE FUNCTION forget();
-- chaos:caught by 'each has a hash of its own'
