-- assert, and where pgTAP is
BEGIN;
SELECT plan(6);

-- a held one only: a false one is told to the run, and would fail it
SELECT is(chaos.assert(true, 'true holds'), true, 'assert tells what held');
SELECT is(prosrc ~ 'RAISE INFO USING ERRCODE = ''CH001''', true, 'assert tells the run by an INFO') FROM pg_proc
 WHERE oid = 'chaos.assert'::regproc;
SELECT lives_ok($$DO 'BEGIN PERFORM chaos.assert(true, ''in a DO block''); END'$$, 'assert works in a DO block');

-- pgTAP in another schema than those on the search path
SET LOCAL search_path = pg_temp;
SELECT chaos.no_leaks('pgTAP is found without the search path');
SELECT current_setting('search_path') AS path \gset
RESET search_path;
SELECT is(:'path'::text, 'pg_temp', 'which is afterwards what it was');

-- no pgTAP
ALTER FUNCTION ok(boolean, text) RENAME TO hidden;
DO $$
BEGIN
    PERFORM chaos.no_leaks();
EXCEPTION WHEN SQLSTATE 'CH005' THEN
    PERFORM set_config('test.said', SQLERRM, true);
END
$$;
ALTER FUNCTION hidden(boolean, text) RENAME TO ok;
SELECT is(current_setting('test.said', true), 'chaos.no_leaks needs pgTAP, which is not in database ' || current_database(),
    'without pgTAP an assertion says so');

SELECT * FROM finish();
ROLLBACK;
