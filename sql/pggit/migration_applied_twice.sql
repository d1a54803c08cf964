-- Two sessions apply the same migration: it happens once
-- Reference: pgGit 0.1.3, apply_migration
--
-- Two deployments start at the same time. The migration pays a bonus; it must be paid once, and the second deployment
-- must be told that the migration has been applied.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail 'the bonus is paid once' apply_migration looks whether it was applied, and does not lock what it looks at when pggit = shipped
-- chaos:xfail 'the second deployment is told' apply_migration looks whether it was applied, without a lock when pggit = shipped
-- chaos:schedule one.begins one.applies two.applies one.ends

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
CREATE OR REPLACE FUNCTION pggit.apply_migration(p_version text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_script text;
BEGIN
    SELECT up_script INTO v_script FROM pggit.migrations WHERE version = p_version AND applied_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'migration % is not there, or has been applied', p_version;
    END IF;
    EXECUTE v_script;
    UPDATE pggit.migrations SET applied_at = now(), applied_by = current_user WHERE version = p_version;
END $$;
\endif
CREATE TABLE public.account (balance int);
INSERT INTO public.account VALUES (100);
INSERT INTO pggit.migrations (version, up_script) VALUES ('1', 'UPDATE public.account SET balance = balance + 10');

-- chaos:session one
-- chaos:step begins
BEGIN;
-- chaos:step applies
SELECT pggit.apply_migration('1');
-- chaos:step ends
COMMIT;

-- chaos:session two
-- chaos:step applies
-- chaos:allow raise_exception
SELECT pggit.apply_migration('1');

-- chaos:check
SELECT is((SELECT balance FROM public.account), 110, 'the bonus is paid once');
SELECT is((SELECT count(*)::int FROM pggit.migrations WHERE applied_at IS NOT NULL), 1, 'the migration is marked as applied');
SELECT is((SELECT sqlstate FROM chaos.history WHERE session = 'two'), 'P0001', 'the second deployment is told');

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by 'the bonus is paid once'
