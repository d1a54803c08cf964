-- A migration that fails half way leaves nothing, and can be tried again
-- Reference: pgGit 0.1.3, apply_migration; PostgreSQL docs, transactional DDL
--
-- The first statement of the migration succeeds, the second meets a row that another session has written. Nothing of it
-- stays and it is not marked as applied. When the row is gone the same migration comes through as a whole.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule shop.writes owner.fails owner.looks shop.cleans owner.applies

-- chaos:setup
CREATE TABLE public.orders (id int);
INSERT INTO pggit.migrations (version, up_script)
VALUES ('1', 'ALTER TABLE public.orders ADD COLUMN note text; ALTER TABLE public.orders ADD PRIMARY KEY (id)');
CREATE TABLE public.before AS SELECT version FROM pggit.get_version('public.orders');

-- chaos:session shop
-- chaos:step writes
INSERT INTO public.orders VALUES (1), (1);
-- chaos:step cleans
DELETE FROM public.orders;

-- chaos:session owner
-- chaos:step fails
-- chaos:expect unique_violation
SELECT pggit.apply_migration('1');
-- chaos:step looks
SELECT chaos.assert((SELECT version FROM pggit.get_version('public.orders')) = version, 'no version is left') FROM public.before;
SELECT chaos.assert(count(*) = 1, 'the migration is still pending') FROM pggit.pending_migrations WHERE version = '1';
SELECT chaos.assert(count(*) = 1, 'no column is left') FROM information_schema.columns WHERE table_name = 'orders' AND table_schema = 'public';
-- chaos:step applies
SELECT pggit.apply_migration('1');

-- chaos:check
SELECT has_column('public', 'orders', 'note', 'the column is there');
SELECT has_pk('public', 'orders', 'the key is there');
SELECT ok((SELECT applied_at IS NOT NULL FROM pggit.migrations), 'the migration is marked as applied');
SELECT is((SELECT version FROM pggit.get_version('public.orders')), (SELECT version + 2 FROM public.before), 'both changes are tracked, once');

-- chaos:mutant the migration commits after each statement
-- chaos:replace 'ADD COLUMN note text; ALTER' with 'ADD COLUMN IF NOT EXISTS note text; ALTER' in setup
-- chaos:session owner
-- chaos:step fails
ALTER TABLE public.orders ADD COLUMN note text;
-- chaos:expect unique_violation
SELECT pggit.apply_migration('1');
-- chaos:step looks
SELECT chaos.assert(count(*) = 1, 'no column is left') FROM information_schema.columns WHERE table_name = 'orders' AND table_schema = 'public';
-- chaos:step applies
SELECT pggit.apply_migration('1');
-- chaos:caught by 'no column is left'

-- chaos:mutant the shop does not clean
-- chaos:replace 'DELETE FROM public.orders' with 'SELECT 1' in shop
-- chaos:caught by 'unique_violation'
