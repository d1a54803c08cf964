-- Who checks out a branch is on it, and on no branch that does not exist
-- Reference: pgGit 0.1.3, checkout_branch, switch_branch; git-checkout(1)
--
-- Two clients are connected. One checks out the branch and sees its data; the other stays on main.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'who checked out sees the data of the branch' checkout_branch only returns a message when pggit = shipped
-- chaos:xfail 'a branch that does not exist is refused' switch_branch does not look whether the branch exists when pggit = shipped
-- chaos:schedule author.checks_out author.reads other.reads author.errs

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int);
INSERT INTO public.orders VALUES (1);
SELECT pggit.create_branch('feature');
SELECT pggit.create_data_branch('feature', 'main', ARRAY['orders']);
INSERT INTO pggit_branch_feature.orders VALUES (2);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
CREATE OR REPLACE FUNCTION pggit.switch_branch(p_branch_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pggit.branches WHERE name = p_branch_name AND status = 'ACTIVE') THEN
        RAISE EXCEPTION 'branch % does not exist', p_branch_name USING ERRCODE = 'undefined_object';
    END IF;
    PERFORM set_config('pggit.current_branch', p_branch_name, false),
            set_config('search_path', CASE p_branch_name WHEN 'main' THEN '' ELSE format('%I, ', 'pggit_branch_' || p_branch_name) END || 'public', false);
END $$;
CREATE OR REPLACE FUNCTION pggit.checkout_branch(p_branch_name text) RETURNS text LANGUAGE sql AS $$
    SELECT pggit.switch_branch(p_branch_name); SELECT p_branch_name $$;
\endif

-- chaos:session author
-- chaos:step checks_out
SELECT pggit.checkout_branch('feature');
-- chaos:step reads
SELECT chaos.assert(max(id) = 2, 'who checked out sees the data of the branch') FROM orders;
-- chaos:step errs
-- chaos:allow undefined_object
SELECT pggit.switch_branch('nowhere');

-- chaos:session other
-- chaos:step reads
SELECT chaos.assert(max(id) = 1, 'who did not is on main') FROM orders;

-- chaos:check
SELECT is((SELECT sqlstate FROM chaos.history WHERE step = 'errs'), '42704', 'a branch that does not exist is refused');

-- chaos:mutant the author stays on main when pggit = repaired
-- chaos:replace 'checkout_branch(''feature'')' with 'checkout_branch(''main'')' in author
-- chaos:caught by 'who checked out sees the data of the branch'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'who checked out sees the data of the branch'
