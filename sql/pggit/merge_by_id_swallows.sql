-- A merge that fails says so with an error
-- Reference: pgGit 0.1.3, merge_branches(integer, integer, text); PostgreSQL docs, lock_timeout
--
-- The function that takes the ids of branches meets a lock. The client's lock_timeout must end it with 55P03: a program
-- that looks for errors, and not for a word in a column, takes anything else for a merge.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '55P03' EXCEPTION WHEN OTHERS makes a row of every error when pggit = shipped
-- chaos:xfail 'the second try has merged, once' it concatenates a uuid and a timestamp, so that every merge fails when pggit = shipped
-- chaos:xfail 'and says so' it concatenates a uuid and a timestamp, so that every merge fails when pggit = shipped

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT pggit.create_branch('feature') AS branch_id \gset
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
CREATE OR REPLACE FUNCTION pggit.merge_branches(p_source_branch_id integer, p_target_branch_id integer, p_message text)
RETURNS TABLE (merge_id uuid, status text, conflicts_detected integer, rows_merged integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pggit.merge_branches(s.name, t.name, p_message) FROM pggit.branches AS s, pggit.branches AS t
    WHERE s.id = p_source_branch_id AND t.id = p_target_branch_id;
    INSERT INTO pggit.commits (branch_id, message) VALUES (p_target_branch_id, p_message);
    RETURN QUERY SELECT gen_random_uuid(), 'SUCCESS', 0, 0;
END $$;
\endif

-- chaos:session backup
BEGIN;
LOCK TABLE pggit.commits IN ACCESS EXCLUSIVE MODE;
-- chaos:signal locked
-- chaos:wait for gave_up
COMMIT;
-- chaos:signal ended

-- chaos:session client
-- chaos:wait for locked
SET lock_timeout = '50ms';
-- chaos:expect 55P03
SELECT * FROM pggit.merge_branches(2, 1, 'merged');
-- chaos:signal gave_up
-- chaos:wait for ended
SELECT status FROM pggit.merge_branches(2, 1, 'merged') \gset

-- chaos:check
SELECT results_eq('SELECT message FROM pggit.commits', ARRAY['merged'], 'the second try has merged, once');
SELECT is((SELECT max(variables->>'status') FROM chaos.acknowledged), 'SUCCESS', 'and says so');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '55P03'
