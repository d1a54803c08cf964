-- After any sequence of DDL, pgGit has what the catalog has
-- Reference: pgGit 0.1.3, its event triggers; a property, for values that are drawn
--
-- Up to eight commands, drawn at random, on three tables: create, drop, add a column, drop one, index, rename. Commands
-- that make no sense (drop what is not there) fail and change nothing. Another session does the same to its own tables.

-- chaos:tags slow
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'pgGit has what the catalog has' ddl_that_is_missed.sql and table_made_again.sql have the causes one by one when pggit = shipped
-- chaos:given commands in list 1..8 of 0..17
-- chaos:schedule explore 10 with 10 values

-- chaos:setup
\ir include/tracked.psql
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/tracking.psql
\endif
CREATE SCHEMA shop;
CREATE TABLE shop.first (id int);
CREATE FUNCTION public.run(commands int[], prefix text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    name text;
    command int;
    done int := 0;
BEGIN
    -- and at the end, in each: create a fourth table, drop it, create it again
    FOREACH command IN ARRAY commands || '{18, 19, 18}' LOOP
        name := format('shop.%s_%s', prefix, command / 6);
        BEGIN
            CASE command % 6
                WHEN 0 THEN EXECUTE format('CREATE TABLE %s (id int, email text)', name);
                WHEN 1 THEN EXECUTE format('DROP TABLE %s', name);
                WHEN 2 THEN EXECUTE format('ALTER TABLE %s ADD COLUMN note text', name);
                WHEN 3 THEN EXECUTE format('ALTER TABLE %s DROP COLUMN email', name);
                WHEN 4 THEN EXECUTE format('CREATE INDEX %s_%s_by_id ON %s (id)', prefix, command / 6, name);
                ELSE EXECUTE format('ALTER TABLE %s RENAME TO %s_%s', name, prefix, (command / 6 + 1) % 3);
            END CASE;
            done := done + 1;
        EXCEPTION WHEN undefined_table OR duplicate_table OR undefined_column OR duplicate_column THEN
            NULL;
        END;
    END LOOP;
    RETURN done;
END $$;

-- chaos:session owner
SELECT public.run(:'commands', 'item');

-- chaos:session other
SELECT public.run(:'commands', 'other');

-- chaos:check
SELECT bag_eq('TABLE public.tracked', 'TABLE public.there', 'pgGit has what the catalog has');
SELECT is((SELECT count(*)::int FROM public.tracked WHERE kind = 'TABLE' AND name = 'first'), 1, 'the first table is tracked');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'pgGit has what the catalog has'
