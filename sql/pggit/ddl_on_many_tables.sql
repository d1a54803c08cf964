-- DDL of several sessions on different tables is tracked, each once
-- Reference: pgGit 0.1.3, its event triggers
--
-- Three developers create, change and drop tables of their own at the same time. Each table has its history: created,
-- changed, and for the last one dropped, in this order and once.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3

-- chaos:session developer x 3 repeat 3
SELECT format('item_%s_%s', :worker, :iteration) AS item \gset
BEGIN;
CREATE TABLE public.:item (id int);
-- chaos:barrier created unless blocked
COMMIT;
ALTER TABLE public.:item ADD COLUMN note text;
DROP TABLE public.:item;

-- chaos:check
SELECT results_eq(
    $$SELECT o.object_name, array_agg(h.change_type::text ORDER BY h.id) FROM pggit.objects AS o JOIN pggit.history AS h ON h.object_id = o.id
      WHERE o.object_type = 'TABLE' AND o.object_name ~ '^item_' GROUP BY 1 ORDER BY 1$$,
    $$SELECT format('item_%s_%s', w, i), ARRAY['CREATE', 'ALTER', 'DROP'] FROM generate_series(1, 3) AS w, generate_series(1, 3) AS i ORDER BY 1$$,
    'each table was created, changed and dropped once');
SELECT results_eq(
    $$SELECT DISTINCT is_active FROM pggit.objects WHERE object_type = 'TABLE' AND object_name ~ '^item_'$$, ARRAY[false], 'none of them is there');

-- chaos:mutant nobody listens for what is dropped
ALTER EVENT TRIGGER pggit_drop_trigger DISABLE;
-- chaos:caught by 'each table was created, changed and dropped once'
-- chaos:caught by 'none of them is there'

-- chaos:mutant nobody listens for what is created
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
-- chaos:caught by 'each table was created, changed and dropped once'
