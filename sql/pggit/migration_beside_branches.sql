-- A migration has what differs from main, whatever branches there are
-- Reference: pgGit 0.1.3, generate_migration, detect_schema_changes
--
-- A branch leaves main, main goes on with a column, and one more is added while tracking is off. The migration that is
-- generated has this column only: the other one is on main already, and applying it again would fail.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the migration has what differs' it compares the catalog with the row of any branch, not with that of main when pggit = shipped
-- chaos:schedule author.branches owner.alters owner.drifts author.generates

-- chaos:setup
SELECT setval('pggit.branches_id_seq', 1);
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
CREATE OR REPLACE FUNCTION pggit.detect_schema_changes(p_schema_name text DEFAULT 'public')
RETURNS TABLE (object_type pggit.object_type, object_name text, change_type pggit.change_type, change_severity pggit.change_severity,
               current_version integer, sql_statement text) LANGUAGE sql AS $$
    SELECT 'COLUMN'::pggit.object_type, format('%s.%s', table_name, column_name), 'CREATE'::pggit.change_type,
           'MINOR'::pggit.change_severity, o.version,
           format('ALTER TABLE %I.%I ADD COLUMN %I %s', table_schema, table_name, column_name, udt_name)
    FROM information_schema.columns AS c
    JOIN pggit.objects AS o ON o.object_type = 'TABLE' AND o.branch_name = 'main' AND o.is_active
         AND (o.schema_name, o.object_name) = (c.table_schema::text, c.table_name::text)
    WHERE c.table_schema = p_schema_name AND NOT o.metadata->'columns' ? c.column_name
$$;
\endif
CREATE TABLE public.orders (id int);

-- chaos:session author
-- chaos:step branches
SELECT pggit.create_branch('feature');
-- chaos:step generates
SELECT pggit.generate_migration('drift');

-- chaos:session owner
-- chaos:step alters
ALTER TABLE public.orders ADD COLUMN known text;
-- chaos:step drifts
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
ALTER TABLE public.orders ADD COLUMN unseen text;
ALTER EVENT TRIGGER pggit_ddl_trigger ENABLE;

-- chaos:check
SELECT is(
    (SELECT up_script FROM pggit.migrations WHERE version = 'drift'), 'ALTER TABLE public.orders ADD COLUMN unseen text;', 'the migration has what differs');

-- chaos:mutant tracking was never off when pggit = repaired
-- chaos:replace 'ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE' with 'SELECT 1' in owner
-- chaos:caught by 'the migration has what differs'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the migration has what differs'
