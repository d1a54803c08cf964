-- Serializable transactions with DDL and commits come through, as without pgGit
-- Reference: PostgreSQL docs, "Serializable Isolation Level"; pgGit 0.1.3, its event triggers
--
-- Two sessions create tables of their own in serializable transactions. Without pgGit nothing brings them together. With
-- it both read and write its tables; one may have to try again, and after that nothing is missing or there twice.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix tracking in on, off
-- chaos:schedule one.begins two.begins one.creates two.creates one.commits two.commits one.ends two.ends

-- chaos:setup
SELECT :'tracking' = 'off' AS off \gset
\if :off
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
\endif

-- chaos:session one retry serialization_failure
-- chaos:step begins
BEGIN ISOLATION LEVEL SERIALIZABLE;
-- chaos:step creates
CREATE TABLE public.item_1 (id int);
-- chaos:step commits
SELECT pggit.create_commit('main', 'of one', 'CREATE TABLE item_1');
-- chaos:step ends
COMMIT;

-- chaos:session two retry serialization_failure
-- chaos:step begins
BEGIN ISOLATION LEVEL SERIALIZABLE;
-- chaos:step creates
CREATE TABLE public.item_2 (id int);
-- chaos:step commits
SELECT pggit.create_commit('main', 'of two', 'CREATE TABLE item_2');
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT :'tracking' = 'on' AS tracked \gset
SELECT results_eq('SELECT message FROM pggit.commits ORDER BY 1', ARRAY['of one', 'of two'], 'both commits are there, once');
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^item_'), 'item_1 item_2', 'both tables are there');
\if :tracked
SELECT results_eq(
    $$SELECT object_name, count(*)::int FROM pggit.objects JOIN pggit.history AS h ON h.object_id = objects.id
      WHERE object_name ~ '^item_.$' GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('item_1', 1), ('item_2', 1)$$, 'each is tracked once');
\else
SELECT is_empty($$SELECT FROM pggit.objects WHERE object_name ~ '^item_'$$, 'none is tracked');
\endif

-- chaos:mutant who is turned away gives up when tracking = on
-- chaos:session two retry none allow serialization_failure
-- chaos:step begins
BEGIN ISOLATION LEVEL SERIALIZABLE;
-- chaos:step creates
CREATE TABLE public.item_2 (id int);
-- chaos:step commits
SELECT pggit.create_commit('main', 'of two', 'CREATE TABLE item_2');
SELECT chaos.fail('40001');
-- chaos:step ends
COMMIT;
-- chaos:caught by 'both commits are there, once'
