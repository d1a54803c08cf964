-- A table with an unusual name is tracked like any other
-- Reference: PostgreSQL docs, "Identifiers and Key Words"; pgGit 0.1.3, its event triggers, get_version
--
-- One session creates the table, changes it, and another session drops it again. pgGit knows it by its name, without the
-- quotes that SQL needs, with its columns; when it is dropped it is no longer there.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:matrix name in 'Order Items', 'Ünïcödé-表', 'a.b', 'say "yes"', 'select'
-- chaos:xfail 'it is tracked by its name' the name is that of regclass::text, with quotes when pggit = shipped
-- chaos:xfail 'so are its columns' columns are looked for by the name with quotes when pggit = shipped
-- chaos:xfail 'when it is dropped, it is no longer there' what is dropped is looked for by the name without quotes when pggit = shipped
-- chaos:schedule owner.creates reader.reads owner.drops

-- chaos:setup
\ir include/tracked.psql
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/tracking.psql
\endif
CREATE SCHEMA shop;
CREATE TABLE shop.plain (id int);

-- chaos:session owner
-- chaos:step creates
CREATE TABLE shop.:"name" (id int, "Col" text);
CREATE TABLE public.meanwhile AS TABLE public.tracked;
-- chaos:step drops
DROP TABLE shop.:"name";

-- chaos:session reader
-- chaos:step reads
SELECT chaos.assert(count(*) = 1, 'a plain name is tracked') FROM public.tracked WHERE kind = 'TABLE' AND name = 'plain';

-- chaos:check
SELECT is((SELECT count(*)::int FROM public.meanwhile WHERE kind = 'TABLE' AND name = :'name'), 1, 'it is tracked by its name');
SELECT is((SELECT count(*)::int FROM public.meanwhile WHERE kind = 'COLUMN' AND name IN (:'name' || '.id', :'name' || '.Col')), 2, 'so are its columns');
SELECT bag_eq('TABLE public.tracked', 'TABLE public.there', 'when it is dropped, it is no longer there');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'it is tracked by its name'
