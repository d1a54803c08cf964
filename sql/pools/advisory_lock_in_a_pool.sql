-- An advisory lock stays on a pooled connection
-- Reference: rails/rails#32622; goauthentik/authentik#23876; PgBouncer docs, server_reset_query
--
-- A job takes a session lock on one connection of a pool, and the pool gives it another one to unlock on: false, with
-- no more than a warning. The lock is held by nobody's job until DISCARD ALL resets the first connection.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule first.locks second.tries first.returns second.tries_again

-- chaos:session first
-- chaos:step locks
SELECT pg_advisory_lock(42);
-- chaos:step returns
DISCARD ALL;

-- chaos:session second
-- chaos:step tries
SELECT chaos.assert(NOT pg_advisory_unlock(42), 'another connection cannot unlock');
SELECT chaos.assert(NOT pg_try_advisory_lock(42), 'and the next job does not get the lock');
-- chaos:step tries_again
SELECT chaos.assert(pg_try_advisory_lock(42), 'once the first connection is reset it does');
SELECT pg_advisory_unlock(42);

-- chaos:mutant the pool resets settings only
-- chaos:replace 'DISCARD ALL' with 'RESET ALL' in first
-- chaos:caught by 'once the first connection is reset it does'
-- chaos:caught by 'leak'

-- chaos:mutant the pool rolls back, which a session lock outlives
-- chaos:replace 'DISCARD ALL' with 'ROLLBACK' in first
-- chaos:caught by 'once the first connection is reset it does'
-- chaos:caught by 'leak'
