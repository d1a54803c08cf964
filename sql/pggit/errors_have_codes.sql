-- What pgGit refuses, it refuses with an SQLSTATE that a program can tell apart
-- Reference: PostgreSQL docs, "Error Codes" and PL/pgSQL, RAISE … USING ERRCODE
--
-- A program that checks out a branch must know whether the branch does not exist or something else went wrong. P0001
-- says only that somebody raised an error: the program would have to read English.

-- chaos:tags smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix pggit in shipped, repaired
-- chaos:xfail '42704' RAISE EXCEPTION without ERRCODE is P0001, whatever is refused when pggit = shipped
-- chaos:xfail 'object_in_use' RAISE EXCEPTION without ERRCODE is P0001, whatever is refused when pggit = shipped

-- chaos:setup
SELECT :'pggit' = 'repaired' AS repaired \gset
\if :repaired
\ir repair/delete_branch.psql
\ir repair/first_calls.psql
\endif

-- chaos:session client
-- chaos:expect 42704
SELECT pggit.checkout_branch('nowhere');
-- chaos:expect 42704
SELECT pggit.delete_branch('nowhere');
-- chaos:expect object_in_use
SELECT pggit.delete_branch('main');

-- chaos:mutant a branch of that name exists when pggit = repaired
SELECT setval('pggit.branches_id_seq', 1);
SELECT pggit.create_branch('nowhere');
-- chaos:caught by '42704'

-- chaos:mutant pgGit as it is when pggit = repaired
-- chaos:replace '= ''repaired''' with '= ''never''' in setup
-- chaos:caught by '42704'
