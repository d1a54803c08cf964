-- Names of 63 bytes, and the same name in two schemas, are kept apart
-- Reference: PostgreSQL docs, "Identifiers and Key Words"; pgGit 0.1.3, get_version, get_history
--
-- Two sessions work in two schemas, each on a table of the same name, and on one whose name differs in its 63rd byte.
-- What one does is not in the history of the other.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3

-- chaos:setup
CREATE SCHEMA shop_1;
CREATE SCHEMA shop_2;
SELECT repeat('n', 62) AS long \gset
CREATE TABLE shop_1.orders (id int);
CREATE TABLE shop_2.orders (id int);
SELECT format('CREATE TABLE public.%s%s (id int)', :'long', n) FROM generate_series(1, 2) AS n \gexec

-- chaos:session shop x 2
SELECT repeat('n', 62) AS long \gset
BEGIN;
ALTER TABLE shop_:worker.orders ADD COLUMN note text;
-- chaos:barrier altered unless blocked
COMMIT;
SELECT format('ALTER TABLE public.%s%s ADD COLUMN of_%s text', :'long', :worker, :worker) \gexec
DROP TABLE shop_:worker.orders;

-- chaos:check
SELECT results_eq(
    $$SELECT o.full_name, array_agg(h.change_type::text ORDER BY h.id), o.is_active FROM pggit.history AS h JOIN pggit.objects AS o ON o.id = object_id
      WHERE object_type = 'TABLE' AND object_name = 'orders' GROUP BY o.id ORDER BY 1$$,
    $$VALUES ('shop_1.orders', ARRAY['CREATE', 'ALTER', 'DROP'], false), ('shop_2.orders', ARRAY['CREATE', 'ALTER', 'DROP'], false)$$,
    'each schema has its own');
SELECT results_eq(
    $$SELECT right(object_name, 1), version FROM pggit.objects WHERE object_type = 'TABLE' AND object_name ~ '^n{62}' ORDER BY 1$$,
    $$VALUES ('1', 3), ('2', 3)$$, 'both long names have a version of their own');

-- chaos:mutant both work on one
-- chaos:replace 'public.%s%s ADD COLUMN of_%s text'', :''long'', :worker, :worker' with 'public.%s%s ADD COLUMN of_%s text'', :''long'', 1, :worker' in shop
-- chaos:caught by 'both long names have a version of their own'

-- chaos:mutant one schema only
-- chaos:replace 'DROP TABLE shop_:worker.orders' with 'DROP TABLE IF EXISTS shop_1.orders' in shop
-- chaos:caught by 'each schema has its own'
