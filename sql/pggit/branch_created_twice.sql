-- Two sessions create the same branch: one wins, the other leaves nothing
-- Reference: pgGit 0.1.3, create_branch; git-branch(1): "a branch named 'feature' already exists"
--
-- The loser gets 23505, which a program can tell from other errors, and the branch has the objects of main once.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule winner.begins winner.creates loser.creates winner.ends

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int PRIMARY KEY);

-- chaos:session winner
-- chaos:step begins
BEGIN;
-- chaos:step creates
SELECT pggit.create_branch('feature') AS branch_id \gset
-- chaos:step ends
COMMIT;

-- chaos:session loser
-- chaos:step creates
-- chaos:expect unique_violation
SELECT pggit.create_branch('feature');

-- chaos:check
SELECT is(
    (SELECT max(b.id) FROM pggit.branches AS b WHERE name = 'feature'),
    (SELECT (variables->>'branch_id')::int FROM chaos.acknowledged WHERE session = 'winner'), 'the branch is that of the winner');
SELECT results_eq(
    $$SELECT object_type::text, object_name FROM pggit.objects WHERE branch_name = 'feature' AND schema_name = 'public' ORDER BY 1, 2$$,
    $$VALUES ('COLUMN', 'orders.id'), ('INDEX', 'orders_pkey'), ('TABLE', 'orders')$$, 'it has the objects of main, once');

-- chaos:mutant names of branches are not unique
ALTER TABLE pggit.branches DROP CONSTRAINT branches_name_key;
ALTER TABLE pggit.objects DROP CONSTRAINT objects_object_type_schema_name_object_name_branch_name_key;
-- chaos:caught by 'unique_violation'
-- chaos:caught by 'it has the objects of main, once'
