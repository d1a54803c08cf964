-- A branch that one client switched to does not leak to the next client of a pooled session
-- Reference: pgGit 0.1.3, switch_branch; PgBouncer, server_reset_query = DISCARD ALL
--
-- A client switches to a branch; the pool resets the session as PgBouncer does, and gives it to another client, who must
-- be on main. A client whose transaction is rolled back has not switched either.

-- chaos:tags smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
CREATE TABLE public.orders (id int);
INSERT INTO public.orders VALUES (1);
SELECT pggit.create_branch('feature');
SELECT pggit.create_data_branch('feature', 'main', ARRAY['orders']);

-- chaos:session pool
BEGIN;
SELECT pggit.switch_branch('feature');
SELECT chaos.assert('orders'::regclass = 'pggit_branch_feature.orders'::regclass, 'who switched is on the branch');
ROLLBACK;
SELECT chaos.assert('orders'::regclass = 'public.orders'::regclass, 'after a rollback the client is where it was');
SELECT pggit.switch_branch('feature');
INSERT INTO orders VALUES (2);
DISCARD ALL;
SELECT chaos.assert('orders'::regclass = 'public.orders'::regclass, 'the next client is on main');
SELECT chaos.assert(coalesce(current_setting('pggit.current_branch', true), '') IN ('', 'main'), 'and pgGit knows it');
INSERT INTO orders VALUES (3);

-- chaos:check
SELECT results_eq('SELECT id FROM public.orders ORDER BY id', ARRAY[1, 3], 'main has the rows of main');
SELECT results_eq('SELECT id FROM pggit_branch_feature.orders ORDER BY id', ARRAY[1, 2], 'the branch has those of the branch');

-- chaos:mutant the pool does not reset
-- chaos:replace 'DISCARD ALL' with 'DISCARD PLANS' in pool
-- chaos:caught by 'the next client is on main'
-- chaos:caught by 'main has the rows of main'
