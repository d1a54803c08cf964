-- An ordinary role can go on with DDL, and what it does is tracked
-- Reference: PostgreSQL docs, "Event Triggers", SECURITY DEFINER; pgGit 0.1.3, its event triggers
--
-- Where pgGit is installed, an ordinary role that may create tables must still be able to. The owner works beside it.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, superuser
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '42501' the event triggers write with the privileges of whoever runs the DDL, who may not use the sequences when pggit = shipped
-- chaos:schedule owner.creates clerk.creates clerk.drops

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
ALTER FUNCTION pggit.handle_ddl_command() SECURITY DEFINER;
ALTER FUNCTION pggit.handle_sql_drop() SECURITY DEFINER;
\endif
SELECT format('clerk_%s', (SELECT oid FROM pg_database WHERE datname = current_database())) AS clerk \gset
CREATE ROLE :clerk;
CREATE SCHEMA office AUTHORIZATION :clerk;

-- chaos:session owner
-- chaos:step creates
CREATE TABLE public.orders (id int);

-- chaos:session clerk
-- chaos:step creates
SELECT format('clerk_%s', (SELECT oid FROM pg_database WHERE datname = current_database())) AS clerk \gset
SET ROLE :clerk;
CREATE TABLE office.note (id int);
ALTER TABLE office.note ADD COLUMN line text;
-- chaos:step drops
DROP TABLE office.note;
RESET ROLE;

-- chaos:check
SELECT results_eq(
    $$SELECT change_type::text FROM pggit.history AS h JOIN pggit.objects AS o ON o.id = object_id WHERE full_name = 'office.note' ORDER BY h.id$$,
    ARRAY['CREATE', 'ALTER', 'DROP'], 'what the clerk did is tracked');
SELECT is((SELECT count(*)::int FROM pggit.objects WHERE full_name = 'public.orders'), 1, 'so is what the owner did');

-- chaos:teardown
SELECT format('clerk_%s', (SELECT oid FROM pg_database WHERE datname = current_database())) AS clerk \gset
DROP OWNED BY :clerk CASCADE;
DROP ROLE :clerk;

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '42501'
