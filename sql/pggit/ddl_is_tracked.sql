-- After a DDL command, pgGit has what the catalog has
-- Reference: pgGit 0.1.3, its event triggers; PostgreSQL docs, "Event Trigger Firing Matrix"
--
-- One session runs the command, another reads meanwhile: it sees the objects of before until the command is committed.
-- These are the commands that pgGit follows; ddl_that_is_missed.sql has those that it does not.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix ddl in 'CREATE TABLE shop.item (id int, name text)', 'ALTER TABLE shop.orders ADD COLUMN note text', 'CREATE VIEW shop.latest AS SELECT id FROM shop.orders', 'DROP VIEW shop.report', 'CREATE INDEX ON shop.orders (email)', 'DROP INDEX shop.by_email', 'CREATE OR REPLACE VIEW shop.report AS SELECT id, email FROM shop.orders'
-- chaos:schedule owner.begins owner.changes reader.reads owner.ends

-- chaos:setup
\ir include/tracked.psql
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id int, email text);
CREATE INDEX by_email ON shop.orders (email);
CREATE VIEW shop.report AS SELECT id FROM shop.orders;
CREATE TABLE public.before AS SELECT * FROM public.tracked;

-- chaos:session owner
-- chaos:step begins
BEGIN;
-- chaos:step changes
:ddl;
-- chaos:step ends
COMMIT;

-- chaos:session reader
-- chaos:step reads
SELECT chaos.assert(count(*) = 0, 'until it is committed, the objects are those of before') FROM (
    (TABLE public.tracked EXCEPT TABLE public.before) UNION ALL (TABLE public.before EXCEPT TABLE public.tracked)) AS differs;

-- chaos:check
SELECT bag_eq('TABLE public.tracked', 'TABLE public.there', 'pgGit has what the catalog has');
SELECT cmp_ok((SELECT count(*)::int FROM pggit.history WHERE sql_executed = :'ddl'), '>=', 1, 'the history says how');

-- chaos:mutant nobody tracks
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
ALTER EVENT TRIGGER pggit_drop_trigger DISABLE;
-- chaos:caught by 'the history says how'
