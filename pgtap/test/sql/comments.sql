-- Every function says what it does, and shows it
BEGIN;
SELECT plan(4);

SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc
     WHERE pronamespace = 'chaos'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
$$, 'every function has a comment');
SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc
     WHERE pronamespace = 'chaos'::regnamespace AND proname !~ '^_'
       AND obj_description(oid, 'pg_proc') !~ format('Example: .*chaos\.%s\(.*;$', proname)
$$, 'every public one has an example that calls it');
SELECT is_empty($$
    SELECT p.oid::regprocedure, argument FROM pg_proc AS p, unnest(p.proargnames) WITH ORDINALITY AS a (argument, n)
     WHERE pronamespace = 'chaos'::regnamespace AND proname !~ '^_' AND n <= pronargs
       AND position(argument IN obj_description(oid, 'pg_proc')) = 0
$$, 'and names each argument');
SELECT is_empty($$
    SELECT oid::regprocedure FROM pg_proc
     WHERE pronamespace = 'chaos'::regnamespace AND proname !~ '^_'
       AND obj_description(oid, 'pg_proc') !~ '(Errors:|Raises no)'
$$, 'and tells its errors');

SELECT * FROM finish();
ROLLBACK;
