-- A table that is created on a branch is not on main
-- Reference: pgGit 0.1.3, switch_branch; git-switch(1)
--
-- One developer switches to a branch and creates a table there, another stays on main. Branches are isolated: main
-- knows the table of the second, the branch that of the first.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'main does not have the table of the branch' the event triggers track for main only when pggit = shipped
-- chaos:xfail 'the branch has its table' the event triggers track for main only when pggit = shipped
-- chaos:schedule author.switches other.creates author.creates

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT pggit.create_branch('feature');
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
CREATE FUNCTION pggit.to_current_branch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.branch_name := coalesce(nullif(current_setting('pggit.current_branch', true), ''), 'main');
    RETURN new;
END $$;
CREATE TRIGGER to_current_branch BEFORE INSERT ON pggit.objects FOR EACH ROW EXECUTE FUNCTION pggit.to_current_branch();
\endif

-- chaos:session author
-- chaos:step switches
SELECT pggit.switch_branch('feature');
-- chaos:step creates
CREATE TABLE public.on_branch (id int);

-- chaos:session other
-- chaos:step creates
CREATE TABLE public.on_main (id int);

-- chaos:check
PREPARE tables (text) AS SELECT object_name FROM pggit.objects
    WHERE object_type = 'TABLE' AND schema_name = 'public' AND is_active AND branch_name = $1 AND object_name ~ '^on_';
SELECT results_eq($$EXECUTE tables('main')$$, ARRAY['on_main'], 'main does not have the table of the branch');
SELECT is((SELECT count(*)::int FROM pggit.objects WHERE branch_name = 'feature' AND object_name = 'on_branch'), 1, 'the branch has its table');

-- chaos:mutant the author does not switch when pggit = repaired
-- chaos:replace 'pggit.switch_branch(''feature'')' with '1' in author
-- chaos:caught by 'main does not have the table of the branch'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the branch has its table'
