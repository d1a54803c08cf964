-- After a rollback, objects and history are exactly as before
-- Reference: pgGit 0.1.3, its event triggers; PostgreSQL docs, ROLLBACK TO SAVEPOINT
--
-- A developer changes the schema, goes back to a savepoint, changes something else and commits; another one rolls
-- everything back while the first is at work. Only what was committed is tracked.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule one.begins two.changes one.goes_back two.rolls_back one.ends

-- chaos:setup
CREATE TABLE public.orders (id int);
CREATE TABLE public.customer (id int);

-- chaos:session one
-- chaos:step begins
BEGIN;
ALTER TABLE public.orders ADD COLUMN kept text;
SAVEPOINT before;
CREATE TABLE public.undone_1 (id int);
DROP TABLE public.orders;
-- chaos:step goes_back
ROLLBACK TO SAVEPOINT before;
CREATE VIEW public.report AS SELECT id, kept FROM public.orders;
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step changes
BEGIN;
CREATE TABLE public.undone_2 (id int);
ALTER TABLE public.customer ADD COLUMN undone_3 text;
SELECT pggit.create_commit('main', 'undone', 'CREATE TABLE undone_2');
-- chaos:step rolls_back
ROLLBACK;

-- chaos:check
SELECT results_eq(
    $$SELECT full_name, version, is_active FROM pggit.objects WHERE schema_name = 'public' AND object_type IN ('TABLE', 'VIEW') ORDER BY full_name COLLATE "C"$$,
    $$VALUES ('public.customer', 2, true), ('public.orders', 3, true), ('public.report', 2, true)$$, 'objects are as they were, with what was committed');
SELECT results_eq(
    $$SELECT o.object_name, array_agg(h.change_type::text ORDER BY h.id) FROM pggit.history AS h JOIN pggit.objects AS o ON o.id = object_id
      WHERE o.schema_name = 'public' AND o.object_type IN ('TABLE', 'VIEW') GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('customer', ARRAY['CREATE']), ('orders', ARRAY['CREATE', 'ALTER']), ('report', ARRAY['CREATE'])$$, 'so is their history');
SELECT is_empty('TABLE pggit.commits', 'the commit is gone');

-- chaos:mutant the second developer commits
-- chaos:replace 'ROLLBACK' with 'COMMIT' in two
-- chaos:caught by 'so is their history'
-- chaos:caught by 'the commit is gone'

-- chaos:mutant the first does not go back
-- chaos:replace 'ROLLBACK TO SAVEPOINT before' with 'CREATE TABLE public.orders (id int, kept text)' in one
-- chaos:caught by 'objects are as they were, with what was committed'
