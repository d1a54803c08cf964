-- DDL in a prepared transaction is tracked when it is committed, and not before
-- Reference: PostgreSQL docs, PREPARE TRANSACTION; pgGit 0.1.3, its event triggers
--
-- A coordinator prepares two transactions with DDL and a commit, while somebody else looks. Then one is committed by
-- another session, and one rolled back.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3, capability prepared_transactions
-- chaos:schedule coordinator.prepares operator.looks operator.decides

-- chaos:session coordinator
-- chaos:step prepares
SELECT 'kept in ' || current_database() AS kept, 'dropped in ' || current_database() AS dropped \gset
BEGIN;
CREATE TABLE public.kept (id int);
SELECT pggit.create_commit('main', 'kept', 'CREATE TABLE kept');
PREPARE TRANSACTION :'kept';
BEGIN;
CREATE TABLE public.dropped (id int);
SELECT pggit.create_commit('main', 'dropped', 'CREATE TABLE dropped');
PREPARE TRANSACTION :'dropped';

-- chaos:session operator
-- chaos:step looks
SELECT chaos.assert(count(*) = 0, 'nothing is tracked before it is decided') FROM pggit.objects WHERE object_name IN ('kept', 'dropped');
-- chaos:step decides
SELECT 'kept in ' || current_database() AS kept, 'dropped in ' || current_database() AS dropped \gset
COMMIT PREPARED :'kept';
ROLLBACK PREPARED :'dropped';

-- chaos:check
SELECT results_eq(
    $$SELECT object_name, is_active FROM pggit.objects WHERE object_name IN ('kept', 'dropped')$$, $$VALUES ('kept', true)$$, 'what was committed is tracked');
SELECT results_eq('SELECT message FROM pggit.commits', ARRAY['kept'], 'and only its commit is there');

-- chaos:mutant the operator decides the other way
-- chaos:replace 'COMMIT PREPARED :''kept''' with 'ROLLBACK PREPARED :''kept''' in operator
-- chaos:caught by 'what was committed is tracked'
-- chaos:caught by 'and only its commit is there'
