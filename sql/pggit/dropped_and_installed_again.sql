-- pgGit can be dropped and installed again, and goes on with the user's tables
-- Reference: PostgreSQL docs, DROP EXTENSION, CREATE EXTENSION; pgGit 0.1.3
--
-- The owner drops pgGit and installs it again in one transaction, while another session wants to create a table. It waits,
-- and its table is tracked. The user's own tables and rows are still there, and pgGit brings those it does not know.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser
-- chaos:schedule owner.drops owner.installs owner.ends other.creates owner.drifts

-- chaos:setup
CREATE TABLE public.orders (id int);
INSERT INTO public.orders VALUES (1);

-- chaos:session owner
-- chaos:step drops
BEGIN;
DROP EXTENSION pggit CASCADE;
-- chaos:step installs
CREATE EXTENSION pggit;
-- chaos:step ends
COMMIT;
-- chaos:step drifts
SELECT pggit.generate_migration('again');

-- chaos:session other
-- chaos:step creates
CREATE TABLE public.later (id int);

-- chaos:check
SELECT results_eq('SELECT id FROM public.orders', ARRAY[1], 'the rows of the user are there');
SELECT results_eq(
    $$SELECT full_name FROM pggit.objects WHERE object_type = 'TABLE' AND schema_name = 'public'$$, ARRAY['public.later'], 'what is created afterwards is tracked');
SELECT is((SELECT up_script FROM pggit.migrations), 'CREATE TABLE public.orders (id int4);', 'what was there before is found');

-- chaos:mutant it is not installed again
-- chaos:replace 'CREATE EXTENSION pggit' with '' in owner
-- chaos:caught by '42883'

-- chaos:mutant the table goes with it
-- chaos:replace 'DROP EXTENSION pggit CASCADE' with 'DROP TABLE public.orders; DROP EXTENSION pggit CASCADE' in owner
-- chaos:caught by '42P01'
