-- The toolkit of pgchaos: schema chaos. Needs no superuser and no file on the server.
--
-- This is the script of the extension, and also what a run loads where the extension is not installed: over the wire,
-- in one message. So it holds no meta-command of psql.

CREATE SCHEMA chaos;
COMMENT ON SCHEMA chaos IS 'pgchaos: what a scenario asks, and what its run recorded';
GRANT USAGE ON SCHEMA chaos TO PUBLIC;

-- What a run recorded
--
-- Several scenarios may work in one database (sandbox schema): each has a setting chaos.run of its own, and sees its own
-- rows. Elsewhere the setting is empty.

CREATE TABLE chaos._history (
    run text NOT NULL DEFAULT coalesce(current_setting('chaos.run', true), ''),
    session text NOT NULL,
    worker integer NOT NULL,
    iteration integer NOT NULL,
    attempt integer NOT NULL,
    step text NOT NULL,
    line integer NOT NULL,
    statement text NOT NULL,
    tag text,
    rows bigint,
    sqlstate text,
    message text,
    started_at timestamptz,
    ended_at timestamptz,
    waited_on text NOT NULL,
    fault text
);
COMMENT ON TABLE chaos._history IS 'Internal: chaos.history of all runs in this database.';
CREATE VIEW chaos.history AS
SELECT session, worker, iteration, attempt, step, line, statement, tag, rows, sqlstate, message, started_at, ended_at,
       waited_on, fault
  FROM chaos._history WHERE run = coalesce(current_setting('chaos.run', true), '');
COMMENT ON VIEW chaos.history IS
'One row for each statement that a session sent, or skipped (then sqlstate is NULL), in order of time. sqlstate is 00000 after success. waited_on names the connections that it was seen waiting for, such as cashier[1], joined by comma and space; empty means not observed.';

CREATE TABLE chaos._transactions (
    run text NOT NULL DEFAULT coalesce(current_setting('chaos.run', true), ''),
    session text NOT NULL,
    worker integer NOT NULL,
    iteration integer NOT NULL,
    attempt integer NOT NULL,
    block boolean NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('committed', 'rolled back', 'unknown')),
    sqlstate text
);
COMMENT ON TABLE chaos._transactions IS 'Internal: chaos.transactions of all runs in this database.';
CREATE VIEW chaos.transactions AS
SELECT session, worker, iteration, attempt, block, outcome, sqlstate
  FROM chaos._transactions WHERE run = coalesce(current_setting('chaos.run', true), '');
COMMENT ON VIEW chaos.transactions IS
'One row for each BEGIN ... COMMIT block (block is true) and each statement outside one that the sessions ended. unknown: the connection was lost after COMMIT was sent.';

CREATE TABLE chaos._acknowledged (
    run text NOT NULL DEFAULT coalesce(current_setting('chaos.run', true), ''),
    position bigint NOT NULL,
    session text NOT NULL,
    worker integer NOT NULL,
    iteration integer NOT NULL,
    attempt integer NOT NULL,
    step text NOT NULL,
    variables jsonb NOT NULL,
    acknowledged_at timestamptz NOT NULL
);
COMMENT ON TABLE chaos._acknowledged IS 'Internal: chaos.acknowledged of all runs in this database.';
CREATE VIEW chaos.acknowledged AS
SELECT position, session, worker, iteration, attempt, step, variables, acknowledged_at
  FROM chaos._acknowledged WHERE run = coalesce(current_setting('chaos.run', true), '');
COMMENT ON VIEW chaos.acknowledged IS
'One row for each transaction that a session was told is committed, in the order in which the answers came: a ledger that is kept outside the server, and so survives its crash. step is the one that ended it; variables are the psql variables of the session then.';

CREATE TABLE chaos._notifications (
    run text NOT NULL DEFAULT coalesce(current_setting('chaos.run', true), ''),
    session text NOT NULL,
    worker integer NOT NULL,
    channel text NOT NULL,
    payload text NOT NULL,
    received_at timestamptz NOT NULL
);
COMMENT ON TABLE chaos._notifications IS 'Internal: chaos.notifications of all runs in this database.';
CREATE VIEW chaos.notifications AS
SELECT session, worker, channel, payload, received_at
  FROM chaos._notifications WHERE run = coalesce(current_setting('chaos.run', true), '');
COMMENT ON VIEW chaos.notifications IS 'One row for each notification that a session received.';

GRANT SELECT ON chaos.history, chaos.transactions, chaos.acknowledged, chaos.notifications TO PUBLIC;

CREATE FUNCTION chaos._forget(run text) RETURNS void
LANGUAGE sql VOLATILE
AS $$
    DELETE FROM chaos._history AS r WHERE r.run = $1;
    DELETE FROM chaos._transactions AS r WHERE r.run = $1;
    DELETE FROM chaos._acknowledged AS r WHERE r.run = $1;
    DELETE FROM chaos._notifications AS r WHERE r.run = $1;
$$;
COMMENT ON FUNCTION chaos._forget(text) IS 'Internal: removes what a run recorded.';

-- The calling session

CREATE FUNCTION chaos._setting(name text) RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT nullif(current_setting($1, true), '') $$;
COMMENT ON FUNCTION chaos._setting(text) IS 'Internal: a setting, NULL where it is not set.';

CREATE FUNCTION chaos._need(held boolean, message text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF held IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message,
            HINT = 'SELECT obj_description(''' || split_part(message, ':', 1)
                || '''::regproc) shows its arguments and an example.';
    END IF;
END
$$;
COMMENT ON FUNCTION chaos._need(boolean, text) IS 'Internal: refuses a wrong argument.';

CREATE FUNCTION chaos.session() RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT chaos._setting('chaos.session') $$;
COMMENT ON FUNCTION chaos.session() IS
'The name of this session of the scenario, without its [worker]; NULL outside a session. Raises nothing.
Example: INSERT INTO receipt (sold_by) VALUES (chaos.session());';

CREATE FUNCTION chaos.worker() RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT chaos._setting('chaos.worker')::integer $$;
COMMENT ON FUNCTION chaos.worker() IS
'The number of this connection in its session, from 1; NULL outside a session. Raises nothing.
Example: INSERT INTO job VALUES (chaos.worker());';

CREATE FUNCTION chaos.iteration() RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT chaos._setting('chaos.iteration')::integer $$;
COMMENT ON FUNCTION chaos.iteration() IS
'How often this session runs now, from 1 up to its repeat; NULL outside a session. Raises nothing.
Example: SELECT chaos.iteration();';

CREATE FUNCTION chaos.var(name text) RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT chaos._setting('chaos.vars')::json ->> $1 $$;
COMMENT ON FUNCTION chaos.var(text) IS
'The value of the psql variable name, where psql does not look: inside functions and DO blocks. NULL where it is not set. Raises nothing.
Example: PERFORM chaos.var(''level'');';

-- What survives a rollback
--
-- A rollback undoes SET, and a sequence cannot be advanced in a read only transaction. Prepared statements belong to the
-- session, are not transactional, and end with DISCARD ALL: so counters are stored as prepared statements.

CREATE FUNCTION chaos._count(counter text) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    key CONSTANT text := 'chaos.' || left(encode(sha256(convert_to(counter, 'UTF8')), 'hex'), 32);
    n integer;
BEGIN
    SELECT substring(p.statement FROM '[0-9]+$')::integer INTO n FROM pg_prepared_statements AS p WHERE p.name = key;
    IF FOUND THEN
        EXECUTE format('DEALLOCATE %I', key);
    END IF;
    n := coalesce(n, 0) + 1;
    EXECUTE format('PREPARE %I AS SELECT %s', key, n);
    RETURN n;
END
$$;
COMMENT ON FUNCTION chaos._count(text) IS
'Internal: how often this session has asked for this counter, from 1. Kept as a prepared statement, so that a rollback does not take it back.';

-- Chance

CREATE FUNCTION chaos.random() RETURNS double precision
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    stream CONSTANT text := concat_ws('/',
        coalesce(chaos._setting('chaos.seed'), '0'), coalesce(chaos._setting('chaos.session'), ''),
        coalesce(chaos._setting('chaos.worker'), ''), coalesce(chaos._setting('chaos.iteration'), ''));
    draw CONSTANT text := stream || '/' || chaos._count('random ' || stream);
BEGIN
    -- not the server's random(): its sequence differs between versions, and others draw from it too
    RETURN ('x' || left(encode(sha256(convert_to(draw, 'UTF8')), 'hex'), 13))::bit(52)::bigint / 4503599627370496.0;
END
$$;
COMMENT ON FUNCTION chaos.random() IS
'A number from 0 up to but not 1. The same numbers come again for the same seed (setting chaos.seed, which a run sets; 0 without it), session, worker and iteration, on each version of PostgreSQL. A rollback does not take a draw back: a transaction that is tried again gets new numbers; DISCARD ALL begins anew. Raises nothing.
Example: UPDATE account SET balance = balance + 1 WHERE id = 1 + floor(100 * chaos.random());';

CREATE FUNCTION chaos.seed() RETURNS double precision
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    value CONSTANT double precision := 2 * chaos.random() - 1;
BEGIN
    PERFORM setseed(value);
    RETURN value;
END
$$;
COMMENT ON FUNCTION chaos.seed() IS
'Seeds the server''s own random() in this session (setseed), for code under test that calls it, by one draw of chaos.random(). Returns what it was seeded with, from -1 up to 1. Raises nothing.
Example: SELECT chaos.seed(); SELECT random();';

-- Time

CREATE FUNCTION chaos.delay(duration interval) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM chaos._need(duration >= interval '0', 'chaos.delay: the duration must be given, and not be negative');
    PERFORM pg_sleep_for(duration);
END
$$;
COMMENT ON FUNCTION chaos.delay(interval) IS
'Waits. duration: an interval, with its unit. Errors: 22023 where it is negative or NULL. In a repeatable read transaction, a first query such as this one takes the snapshot; the directive delay does not.
Example: SELECT chaos.delay(''5ms'');';

CREATE FUNCTION chaos.jitter(most interval) RETURNS interval
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    chosen interval;
BEGIN
    PERFORM chaos._need(most >= interval '0', 'chaos.jitter: the longest time must be given, and not be negative');
    chosen := most * chaos.random();
    PERFORM pg_sleep_for(chosen);
    RETURN chosen;
END
$$;
COMMENT ON FUNCTION chaos.jitter(interval) IS
'Waits for a time chosen by chaos.random(), and returns it. most: the longest, an interval with its unit. Errors: 22023 where it is negative or NULL.
Example: SELECT chaos.jitter(''20ms'');';

-- Waiting for each other
--
-- Advisory locks on two keys, the first always the same, held shared by the session: everybody may hold one at once,
-- nobody waits for one, pg_locks shows them at once whatever the isolation level, and a rollback does not free them.

CREATE FUNCTION chaos._class() RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$ SELECT 1667785071 $$;
COMMENT ON FUNCTION chaos._class() IS 'Internal: the first key of the toolkit''s advisory locks, "chao" in ASCII.';

CREATE VIEW chaos.locks AS
SELECT * FROM pg_catalog.pg_locks
 WHERE (locktype = 'advisory' AND objsubid = 2
        AND (classid = 1667785071 OR (classid, objid) = (1885823848, 0))) IS NOT TRUE;
COMMENT ON VIEW chaos.locks IS
'pg_locks without the advisory locks by which chaos.barrier and chaos.signal work, and runs wait for each other.
Example: SELECT is_empty(''SELECT * FROM chaos.locks WHERE locktype = ''''advisory'''''');';
GRANT SELECT ON chaos.locks TO PUBLIC;

CREATE FUNCTION chaos._key(name text) RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT hashtext(coalesce(chaos._setting('chaos.run') || ' ', '') || $1) $$;
COMMENT ON FUNCTION chaos._key(text) IS
'Internal: the second key of a lock of the toolkit, another one in each run of those that share a database.';

CREATE FUNCTION chaos._holders(key integer) RETURNS SETOF integer
LANGUAGE sql VOLATILE
AS $$
    SELECT l.pid FROM pg_catalog.pg_locks AS l
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
       AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
       AND l.classid = chaos._class()::oid AND l.objid = ($1::bigint & 4294967295)::oid
$$;
COMMENT ON FUNCTION chaos._holders(integer) IS 'Internal: the backends that hold a lock of the toolkit.';

CREATE FUNCTION chaos._run_key() RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT hashtext(coalesce(chaos._setting('chaos.run'), chaos._setting('chaos.mark')) || ' run') $$;
COMMENT ON FUNCTION chaos._run_key() IS
'Internal: the second key of the lock that the sessions of a run hold, by chaos.run where runs share a database, by chaos.mark where the database is somebody else''s; NULL where it is the run''s own.';

CREATE FUNCTION chaos._join() RETURNS void
LANGUAGE sql VOLATILE
AS $$ SELECT pg_advisory_lock_shared(chaos._class(), chaos._run_key()) $$;
COMMENT ON FUNCTION chaos._join() IS
'Internal: marks this session as one of the run, until it ends or DISCARD ALL. Sessions of several runs in one database, and of others in it, may have the same names.';

CREATE FUNCTION chaos._among_us(pid integer) RETURNS boolean
LANGUAGE sql VOLATILE
AS $$ SELECT chaos._run_key() IS NULL OR $1 IN (SELECT h FROM chaos._holders(chaos._run_key()) AS h) $$;
COMMENT ON FUNCTION chaos._among_us(integer) IS
'Internal: says whether a backend is one of this run; in a database of the run''s own each is.';

CREATE FUNCTION chaos.signal(name text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM chaos._need(name IS NOT NULL, 'chaos.signal: the name must be given');
    PERFORM pg_advisory_lock_shared(chaos._class(), chaos._key('signal ' || name));
END
$$;
COMMENT ON FUNCTION chaos.signal(text) IS
'Gives a signal, which lets chaos.wait_for in other sessions of this database go on, at once: it does not wait for COMMIT, and a rollback does not take it back. name: of the signal. It stays given until the session that gave it ends, or calls pg_advisory_unlock_all() or DISCARD ALL. It is not the directive signal of the same name. Errors: 22023 where the name is NULL.
Example: SELECT chaos.signal(''ready'');';

CREATE FUNCTION chaos.wait_for(name text, timeout interval DEFAULT '30s') RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    deadline CONSTANT timestamptz := clock_timestamp() + timeout;
    pause double precision := 0.001;
BEGIN
    PERFORM chaos._need(name IS NOT NULL, 'chaos.wait_for: the name must be given');
    PERFORM chaos._need(timeout >= interval '0', 'chaos.wait_for: the timeout must be given, and not be negative');
    WHILE NOT EXISTS (SELECT FROM chaos._holders(chaos._key('signal ' || name))) LOOP
        IF clock_timestamp() >= deadline THEN
            RAISE EXCEPTION USING ERRCODE = 'CH002',
                MESSAGE = format('signal "%s" was not given within %s', name, timeout),
                HINT = 'A session gives it with chaos.signal; it lasts as long as that session, in the same database.';
        END IF;
        PERFORM pg_sleep(pause);
        pause := least(pause * 1.5, 0.01);
    END LOOP;
END
$$;
COMMENT ON FUNCTION chaos.wait_for(text, interval) IS
'Waits until some session has given a signal with chaos.signal. name: of the signal. timeout: an interval with its unit. Works at each isolation level; but as the first query of a repeatable read or serializable transaction it takes the snapshot. Errors: CH002 after the timeout, 22023 for a wrong argument.
Example: SELECT chaos.wait_for(''ready'', ''10s'');';

CREATE FUNCTION chaos.barrier(name text, parties integer, timeout interval DEFAULT '30s') RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    -- each iteration of a session has its own; a transaction that is tried again finds it open
    this CONSTANT text := name || '#' || coalesce(chaos._setting('chaos.iteration'), '');
    arrived CONSTANT integer := chaos._key('barrier ' || this);
    passed CONSTANT integer := chaos._key('passed ' || this);
    deadline CONSTANT timestamptz := clock_timestamp() + timeout;
    pause double precision := 0.001;
    here integer;
BEGIN
    PERFORM chaos._need(name IS NOT NULL, 'chaos.barrier: the name must be given');
    PERFORM chaos._need(parties > 0, 'chaos.barrier: the number of parties must be 1 or more');
    PERFORM chaos._need(timeout >= interval '0', 'chaos.barrier: the timeout must be given, and not be negative');
    PERFORM pg_advisory_lock_shared(chaos._class(), arrived);
    BEGIN
        LOOP
            SELECT count(*) INTO here FROM chaos._holders(arrived);
            EXIT WHEN here >= parties OR EXISTS (SELECT FROM chaos._holders(passed));
            IF clock_timestamp() >= deadline THEN
                RAISE EXCEPTION USING ERRCODE = 'CH002',
                    MESSAGE = format('barrier "%s" did not open within %s: %s of %s arrived', name, timeout, here, parties),
                    HINT = 'Each party is a session of its own in the same database. '
                        'Is one of them blocked by a lock that another one holds?';
            END IF;
            PERFORM pg_sleep(pause);
            pause := least(pause * 1.5, 0.01);
        END LOOP;
        PERFORM pg_advisory_lock_shared(chaos._class(), passed);
        -- a session that returns may end, and release its locks: first all that arrived must have seen it open
        WHILE EXISTS (SELECT FROM chaos._holders(arrived) AS a WHERE a NOT IN (SELECT p FROM chaos._holders(passed) AS p))
            AND clock_timestamp() < deadline
        LOOP
            PERFORM pg_sleep(0.001);
        END LOOP;
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        -- a session that gives up has not arrived
        PERFORM pg_advisory_unlock_shared(chaos._class(), arrived);
        RAISE;
    END;
END
$$;
COMMENT ON FUNCTION chaos.barrier(text, integer, interval) IS
'Waits until so many sessions of this database have come to the barrier of that name, the caller among them. name: of the barrier. parties: sessions, from 1. timeout: an interval with its unit. Each iteration of a session has its own barrier; once open it stays open while a session that passed it lives, so that a transaction that is tried again does not wait. A rollback does not take an arrival back. As the first query of a repeatable read transaction it takes the snapshot; the directive barrier does not, and knows who is blocked. Errors: CH002 after the timeout, 22023 for a wrong argument.
Example: SELECT chaos.barrier(''both have read'', 2, ''10s'');';

-- Forced errors

CREATE FUNCTION chaos.fail(sqlstate text, message text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM chaos._need(sqlstate IS NOT NULL AND sqlstate NOT LIKE '00%' AND sqlstate <> 'successful_completion',
        'chaos.fail: a SQLSTATE or condition name must be given that is an error');
    RAISE EXCEPTION USING ERRCODE = sqlstate, MESSAGE = coalesce(message, 'forced by chaos.fail: ' || sqlstate);
END
$$;
COMMENT ON FUNCTION chaos.fail(text, text) IS
'Fails with an error. sqlstate: five characters, or a condition name of PL/pgSQL such as serialization_failure. message: its text; without it, it says that it was forced. Errors: the one asked for; 42704 for an unknown condition name; 22023 for class 00 or NULL.
Example: SELECT chaos.fail(''40001'', ''could not serialize access, says the test'');';

CREATE FUNCTION chaos.maybe_fail(probability double precision, sqlstate text, message text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM chaos._need(probability BETWEEN 0 AND 1, 'chaos.maybe_fail: the probability must be from 0 to 1');
    IF chaos.random() < probability THEN
        PERFORM chaos.fail(sqlstate, coalesce(message, 'forced by chaos.maybe_fail: ' || sqlstate));
    END IF;
END
$$;
COMMENT ON FUNCTION chaos.maybe_fail(double precision, text, text) IS
'Fails as chaos.fail does, or does nothing, as chaos.random() decides. probability: from 0 (never) to 1 (always). sqlstate, message: as for chaos.fail. A transaction that is tried again draws again. Errors: the one asked for; 22023 for a wrong argument.
Example: SELECT chaos.maybe_fail(0.1, ''serialization_failure'');';

CREATE FUNCTION chaos.fail_nth(n integer, sqlstate text, point text DEFAULT '') RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    call integer;
BEGIN
    PERFORM chaos._need(n > 0, 'chaos.fail_nth: n must be 1 or more');
    PERFORM chaos._need(point IS NOT NULL, 'chaos.fail_nth: the point must not be NULL');
    call := chaos._count('fail_nth ' || point);
    IF call = n THEN
        PERFORM chaos.fail(sqlstate, format('forced by chaos.fail_nth: %s at call %s', sqlstate, n));
    END IF;
    RETURN call;
END
$$;
COMMENT ON FUNCTION chaos.fail_nth(integer, text, text) IS
'Fails as chaos.fail does at the nth call in this session, and at no other. n: from 1. sqlstate: as for chaos.fail. point: calls with the same point are counted together. Returns the number of this call. The count survives a rollback, so that the transaction can be tried again, and ends with the session or with DISCARD ALL or DEALLOCATE ALL (it is kept as a prepared statement). Errors: the one asked for; 22023 for a wrong argument.
Example: SELECT chaos.fail_nth(3, ''deadlock_detected'');';

-- Faults on tables

CREATE FUNCTION chaos._fault() RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF TG_ARGV[0] = 'delay' THEN
        PERFORM chaos.delay(TG_ARGV[1]::interval);
    ELSE
        PERFORM chaos.maybe_fail(TG_ARGV[2]::double precision, TG_ARGV[1],
            format('forced by chaos.inject_error: %s at %s on %s', TG_ARGV[1], TG_OP, TG_RELID::regclass));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION chaos._fault() IS 'Internal: the trigger of chaos.inject_error and chaos.inject_delay.';

CREATE FUNCTION chaos._inject(caller text, relation regclass, operation text, moment text, kind text, arguments text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    events CONSTANT text[] := regexp_split_to_array(upper(trim(operation)), '[[:space:]]+OR[[:space:]]+');
BEGIN
    PERFORM chaos._need(relation IS NOT NULL, caller || ': the table must be given');
    PERFORM chaos._need(events <@ ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'],
        caller || ': the operation must be INSERT, UPDATE, DELETE or TRUNCATE, or several joined by OR');
    PERFORM chaos._need(lower(moment) IN ('before', 'after'), caller || ': the moment must be before or after');
    EXECUTE format('CREATE OR REPLACE TRIGGER %I %s %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION chaos._fault(%L, %s)',
        lower(format('chaos_%s_%s_%s', kind, moment, array_to_string(events, '_'))), moment,
        array_to_string(events, ' OR '), relation, kind, arguments);
END
$$;
COMMENT ON FUNCTION chaos._inject(text, regclass, text, text, text, text) IS 'Internal: makes the trigger of a fault.';

CREATE FUNCTION chaos.inject_error(
    relation regclass, operation text, sqlstate text, probability double precision DEFAULT 1
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM chaos._need(probability BETWEEN 0 AND 1, 'chaos.inject_error: the probability must be from 0 to 1');
    PERFORM chaos._need(sqlstate IS NOT NULL, 'chaos.inject_error: the SQLSTATE or condition name must be given');
    PERFORM chaos._inject('chaos.inject_error', relation, operation, 'before', 'error',
        format('%L, %L', sqlstate, probability));
END
$$;
COMMENT ON FUNCTION chaos.inject_error(regclass, text, text, double precision) IS
'Makes statements on a table fail, by a trigger BEFORE ... FOR EACH STATEMENT: in all sessions, from the commit of the transaction that injects it. relation: the table or view. operation: INSERT, UPDATE, DELETE or TRUNCATE, or several joined by OR. sqlstate: as for chaos.fail. probability: for each statement, from 0 to 1, drawn by chaos.random(). A second call for the same table and operation replaces the first. Errors: 22023 for a wrong argument, 42501 without the TRIGGER privilege.
Example: SELECT chaos.inject_error(''orders'', ''INSERT OR UPDATE'', ''disk_full'', 0.2);';

CREATE FUNCTION chaos.inject_delay(relation regclass, operation text, delay interval, moment text DEFAULT 'before')
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM chaos._need(delay >= interval '0', 'chaos.inject_delay: the delay must be given, and not be negative');
    PERFORM chaos._inject('chaos.inject_delay', relation, operation, moment, 'delay', quote_literal(delay));
END
$$;
COMMENT ON FUNCTION chaos.inject_delay(regclass, text, interval, text) IS
'Makes statements on a table slow, by a trigger FOR EACH STATEMENT: in all sessions, from the commit of the transaction that injects it. relation: the table or view. operation: INSERT, UPDATE, DELETE or TRUNCATE, or several joined by OR. delay: an interval with its unit, once a statement. moment: before (the statement has its snapshot and no row lock) or after (it holds its row locks). A second call for the same table, operation and moment replaces the first. Errors: 22023 for a wrong argument, 42501 without the TRIGGER privilege.
Example: SELECT chaos.inject_delay(''orders'', ''UPDATE'', ''50ms'', ''after'');';

CREATE FUNCTION chaos.clear_faults(relation regclass DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    fault record;
    cleared integer := 0;
BEGIN
    FOR fault IN
        SELECT t.tgname, t.tgrelid::regclass AS on_table FROM pg_catalog.pg_trigger AS t
         WHERE t.tgfoid = 'chaos._fault'::regproc AND (relation IS NULL OR t.tgrelid = relation)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', fault.tgname, fault.on_table);
        cleared := cleared + 1;
    END LOOP;
    RETURN cleared;
END
$$;
COMMENT ON FUNCTION chaos.clear_faults(regclass) IS
'Takes away what chaos.inject_error and chaos.inject_delay put on a table, or without argument on all tables. relation: the table or view. Returns how many faults it took away. It waits for transactions that use the table. Errors: 42501 where the table is somebody else''s.
Example: SELECT chaos.clear_faults(''orders'');';

-- Other sessions

CREATE FUNCTION chaos._connections(session text, worker integer DEFAULT NULL)
RETURNS TABLE (pid integer, who text, since timestamptz)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- what the transaction has seen of the sessions would else be shown again
    PERFORM pg_stat_clear_snapshot();
    RETURN QUERY
        SELECT a.pid, a.application_name, a.backend_start FROM pg_catalog.pg_stat_activity AS a
         WHERE a.datname = current_database() AND chaos._among_us(a.pid)
           AND CASE WHEN worker IS NOT NULL THEN a.application_name = format('%s[%s]', session, worker)
                    WHEN session ~ '[[][0-9]+]$' THEN a.application_name = session
                    ELSE left(a.application_name, length(session)) = session
                         AND substr(a.application_name, length(session) + 1) ~ '^[[][0-9]+]$' END
         ORDER BY a.pid = pg_backend_pid(), a.application_name;
    -- nor may the caller be shown what is seen here
    PERFORM pg_stat_clear_snapshot();
END
$$;
COMMENT ON FUNCTION chaos._connections(text, integer) IS
'Internal: the connections of a session, which carry its name as application_name, the own one last.';

CREATE FUNCTION chaos._is_still(pid integer, since timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    still boolean;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    still := EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
                      WHERE a.pid = $1 AND a.datname = current_database() AND a.backend_start IS NOT DISTINCT FROM $2);
    PERFORM pg_stat_clear_snapshot();
    RETURN still;
END
$$;
COMMENT ON FUNCTION chaos._is_still(integer, timestamptz) IS
'Internal: says whether a backend is the one that was found: the number may have been given to another since.';

CREATE FUNCTION chaos._no_connection(session text, worker integer) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CH004',
        MESSAGE = format('there is no connection %s in database %s',
            session || coalesce('[' || worker || ']', ''), current_database()),
        HINT = 'Connections are found by application_name, which is the session''s name and [worker], such as cashier[1].'
            || CASE WHEN chaos._run_key() IS NULL THEN '' ELSE
                ' Others use this database too: those of the run hold an advisory lock, which DISCARD ALL and pg_advisory_unlock_all() free.'
               END;
END
$$;
COMMENT ON FUNCTION chaos._no_connection(text, integer) IS 'Internal: says that a session is not connected.';

CREATE FUNCTION chaos.terminate(session text, worker integer DEFAULT NULL, timeout interval DEFAULT '10s')
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found record;
    gone integer := 0;
BEGIN
    PERFORM chaos._need(session IS NOT NULL, 'chaos.terminate: the session must be given');
    PERFORM chaos._need(timeout > interval '0', 'chaos.terminate: the timeout must be more than 0');
    FOR found IN SELECT * FROM chaos._connections(session, worker) LOOP
        -- it may be gone by now: another one was waited for
        IF chaos._is_still(found.pid, found.since)
            AND NOT pg_terminate_backend(found.pid, ceil(extract(epoch FROM timeout) * 1000)::bigint)
            AND chaos._is_still(found.pid, found.since)
        THEN
            RAISE EXCEPTION USING ERRCODE = 'CH002',
                MESSAGE = format('%s (pid %s) did not end within %s', found.who, found.pid, timeout);
        END IF;
        gone := gone + 1;
    END LOOP;
    IF gone = 0 THEN
        PERFORM chaos._no_connection(session, worker);
    END IF;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION chaos.terminate(text, integer, interval) IS
'Terminates connections of a session of the scenario, in this database, and waits until they are gone: what they had not committed is rolled back, and their locks are free. They see 57P01. session: its name, for all its connections, or one such as cashier[2]. worker: the one with that number. timeout: for each, an interval with its unit. Returns how many were terminated. The own connection comes last. Errors: CH004 where there is none, CH002 after the timeout, 42501 for another role''s, 22023 for a wrong argument.
Example: SELECT chaos.terminate(''cashier'', 2);';

CREATE FUNCTION chaos.cancel(session text, worker integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found record;
    asked integer := 0;
BEGIN
    PERFORM chaos._need(session IS NOT NULL, 'chaos.cancel: the session must be given');
    FOR found IN SELECT * FROM chaos._connections(session, worker) LOOP
        PERFORM pg_cancel_backend(found.pid) WHERE chaos._is_still(found.pid, found.since);
        asked := asked + 1;
    END LOOP;
    IF asked = 0 THEN
        PERFORM chaos._no_connection(session, worker);
    END IF;
    RETURN asked;
END
$$;
COMMENT ON FUNCTION chaos.cancel(text, integer) IS
'Cancels what connections of a session of the scenario run now, in this database. They see 57014; one that runs nothing sees nothing. session: its name, for all its connections, or one such as cashier[2]. worker: the one with that number. Returns how many were asked; it does not wait for them. Errors: CH004 where there is none, 42501 for another role''s, 22023 for NULL.
Example: SELECT chaos.cancel(''report'');';

CREATE FUNCTION chaos.is_blocked(session text, by_session text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    blockers integer[];
BEGIN
    PERFORM chaos._need(session IS NOT NULL, 'chaos.is_blocked: the session must be given');
    blockers := ARRAY(SELECT b.pid FROM chaos._connections(by_session) AS b);
    RETURN (SELECT count(*) > 0 AND bool_and(CASE WHEN by_session IS NULL THEN cardinality(waits_for) > 0
                                                  ELSE waits_for && blockers END)
              FROM (SELECT pg_blocking_pids(c.pid) AS waits_for FROM chaos._connections(session) AS c) AS waiting);
END
$$;
COMMENT ON FUNCTION chaos.is_blocked(text, text) IS
'Says whether a session waits for a lock now, all its connections do (pg_blocking_pids); with by_session, for one that a connection of that session holds or asked for before. Indirect waits do not count. session, by_session: a name, or one connection such as cashier[2]. False where the session is not connected. Errors: 22023 where the session is NULL.
Example: SELECT chaos.assert(chaos.is_blocked(''reader'', ''migration''), ''the reader waits for the migration'');';

CREATE FUNCTION chaos.wait_blocked(session text, timeout interval DEFAULT '30s') RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    deadline CONSTANT timestamptz := clock_timestamp() + timeout;
    times_seen integer := 0;
BEGIN
    PERFORM chaos._need(timeout >= interval '0', 'chaos.wait_blocked: the timeout must be given, and not be negative');
    LOOP
        -- seen once, it may be a lock that is released at once
        times_seen := CASE WHEN chaos.is_blocked(session) THEN times_seen + 1 ELSE 0 END;
        EXIT WHEN times_seen = 2;
        IF clock_timestamp() >= deadline THEN
            IF NOT EXISTS (SELECT FROM chaos._connections(session)) THEN
                PERFORM chaos._no_connection(session, NULL);
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CH002',
                MESSAGE = format('session %s was not blocked within %s', session, timeout),
                HINT = 'Blocked means waiting for a lock that another session or a prepared transaction holds.';
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
END
$$;
COMMENT ON FUNCTION chaos.wait_blocked(text, interval) IS
'Waits until all connections of a session wait for a lock. session: a name, or one connection such as cashier[2]. timeout: an interval with its unit. As the first query of a repeatable read transaction it takes the snapshot; the directive wait blocked does not. Errors: CH002 after the timeout, CH004 if there is no such connection by then, 22023 for a wrong argument.
Example: SELECT chaos.wait_blocked(''migration'', ''5s'');';

-- Assertions

CREATE FUNCTION chaos.assert(held boolean, description text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- INFO reaches the client whatever client_min_messages says, and survives a rollback
    RAISE INFO USING ERRCODE = 'CH001',
        MESSAGE = coalesce(nullif(description, ''), 'chaos.assert'),
        DETAIL = CASE WHEN held THEN 'true' WHEN held IS NULL THEN 'null' ELSE 'false' END;
    RETURN coalesce(held, false);
END
$$;
COMMENT ON FUNCTION chaos.assert(boolean, text) IS
'An assertion that may stand in any session, worker and iteration, needs no pgTAP and no plan, and holds through a rollback. held: false and NULL fail it; the run goes on. description: how it is reported. Returns whether it held. Raises no error: it tells the run by a message INFO with SQLSTATE CH001.
Example: SELECT chaos.assert(balance >= 0, ''never negative'') FROM account;';

CREATE FUNCTION chaos._tap(caller text, held boolean, description text, diagnostics text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    path CONSTANT text := current_setting('search_path');
    home text;
    visible boolean;
    said text;
    explained text;
BEGIN
    IF chaos._setting('chaos.worker') IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CH006',
            MESSAGE = caller || ' is a pgTAP assertion, and TAP is not read in a session',
            HINT = 'Move it to a check section, or use chaos.assert, which may stand anywhere.';
    END IF;
    -- found at each call: pgTAP may be in any schema, and may come after the toolkit
    SELECT n.nspname, pg_function_is_visible(p.oid) INTO home, visible
      FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
     WHERE p.proname = 'ok' AND p.proargtypes::text = '16 25'
       AND EXISTS (SELECT FROM pg_catalog.pg_proc AS d WHERE d.pronamespace = n.oid AND d.proname = 'diag')
     ORDER BY 2 DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'CH005',
            MESSAGE = caller || ' needs pgTAP, which is not in database ' || current_database(),
            HINT = 'CREATE EXTENSION pgtap; see https://pgtap.org for how to install it. chaos.assert works without it.';
    END IF;
    IF NOT visible THEN
        -- pgTAP's functions call each other without their schema
        PERFORM set_config('search_path', concat_ws(', ', nullif(path, ''), quote_ident(home)), true);
    END IF;
    EXECUTE format('SELECT %I.ok($1, $2)', home) INTO said USING held, description;
    IF NOT held THEN
        EXECUTE format('SELECT %I.diag($1)', home) INTO explained USING diagnostics;
    END IF;
    IF NOT visible THEN
        PERFORM set_config('search_path', path, true);
    END IF;
    RETURN concat_ws(E'\n', said, explained);
END
$$;
COMMENT ON FUNCTION chaos._tap(text, boolean, text, text) IS 'Internal: has pgTAP say ok or not ok, wherever it is.';

CREATE TABLE chaos.snapshots (
    name text PRIMARY KEY,
    query text NOT NULL,
    rows text[] NOT NULL
);
COMMENT ON TABLE chaos.snapshots IS 'What chaos.snapshot kept for chaos.unchanged: each row as text.';
GRANT SELECT, INSERT, UPDATE, DELETE ON chaos.snapshots TO PUBLIC;

CREATE FUNCTION chaos._rows(query text) RETURNS text[]
LANGUAGE plpgsql VOLATILE
-- the same value must have the same text, whatever a session has set
SET datestyle = 'ISO, YMD' SET intervalstyle = 'iso_8601' SET timezone = 'UTC' SET extra_float_digits = 1
SET bytea_output = 'hex' SET xmloption = 'content'
AS $$
DECLARE
    found text[];
BEGIN
    -- the line feed ends a comment that ends the query; `r` alone would be a column of that name
    EXECUTE format(E'SELECT array_agg((r.*)::text ORDER BY (r.*)::text COLLATE "C") FROM (%s\n) AS r',
        regexp_replace(query, '[[:space:]]*;[[:space:]]*$', '')) INTO found;
    RETURN coalesce(found, '{}');
END
$$;
COMMENT ON FUNCTION chaos._rows(text) IS 'Internal: the rows of a query as text, in one order.';

CREATE FUNCTION chaos.snapshot(name text, query text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found text[];
BEGIN
    PERFORM chaos._need(name IS NOT NULL AND query IS NOT NULL, 'chaos.snapshot: name and query must be given');
    found := chaos._rows(query);
    INSERT INTO chaos.snapshots AS s VALUES (name, query, found)
        ON CONFLICT ON CONSTRAINT snapshots_pkey DO UPDATE SET query = excluded.query, rows = excluded.rows;
    RETURN cardinality(found);
END
$$;
COMMENT ON FUNCTION chaos.snapshot(text, text) IS
'Keeps the rows of a query, for chaos.unchanged to compare with, in this session or another. name: of the snapshot; one of the same name is replaced. query: SELECT, VALUES or TABLE; it is run again by chaos.unchanged. Returns the number of rows. A rollback takes the snapshot back. Dates and times are compared in UTC. Errors: 22023 for NULL, and the query''s own.
Example: SELECT chaos.snapshot(''balances'', ''SELECT * FROM account'');';

CREATE FUNCTION chaos._difference(one text[], other text[], label text) RETURNS text
LANGUAGE sql STABLE
AS $$
    -- the tenth is enough to see what kind of rows they are
    SELECT string_agg(CASE WHEN n <= 10 THEN label || ': ' || r ELSE label || ' besides: ' || total - 10 END, E'\n'
                      ORDER BY n)
      FROM (SELECT r, row_number() OVER (ORDER BY r COLLATE "C") AS n, count(*) OVER () AS total
              FROM (SELECT unnest(one) AS r EXCEPT ALL SELECT unnest(other)) AS only_here) AS numbered
     WHERE n <= 11
$$;
COMMENT ON FUNCTION chaos._difference(text[], text[], text) IS 'Internal: the rows that only the first has, a line each.';

CREATE FUNCTION chaos.unchanged(name text, description text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    kept chaos.snapshots;
    now_there text[];
    differences text;
BEGIN
    SELECT * INTO kept FROM chaos.snapshots AS s WHERE s.name = unchanged.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('there is no snapshot "%s"', name),
            HINT = coalesce('There are: ' || (SELECT string_agg(s.name, ', ' ORDER BY s.name) FROM chaos.snapshots AS s),
                'None was taken, or its transaction was rolled back: SELECT chaos.snapshot(name, query) takes one.');
    END IF;
    now_there := chaos._rows(kept.query);
    differences := concat_ws(E'\n', chaos._difference(kept.rows, now_there, 'missing'),
                                    chaos._difference(now_there, kept.rows, 'new'));
    RETURN chaos._tap('chaos.unchanged', differences = '', coalesce(description, name || ' is unchanged'), differences);
END
$$;
COMMENT ON FUNCTION chaos.unchanged(text, text) IS
'pgTAP assertion: the query of a snapshot gives the same rows as when chaos.snapshot was called, each as often, in any order. name: of the snapshot. description: of the assertion. Where it fails, missing and new rows are shown. Errors: 42704 where there is no such snapshot, CH005 without pgTAP, CH006 in a session of a scenario.
Example: SELECT chaos.unchanged(''balances'');';

CREATE FUNCTION chaos.eventually(query text, timeout interval DEFAULT '10s', description text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    deadline CONSTANT timestamptz := clock_timestamp() + timeout;
    ask CONSTANT text := format(E'SELECT count(*) > 0 AND bool_and(v IS TRUE), array_agg(v) FROM (%s\n) AS q(v)',
        regexp_replace(query, '[[:space:]]*;[[:space:]]*$', ''));
    pause double precision := 0.005;
    held boolean;
    seen boolean[];
BEGIN
    PERFORM chaos._need(query IS NOT NULL, 'chaos.eventually: the query must be given');
    PERFORM chaos._need(timeout >= interval '0', 'chaos.eventually: the timeout must be given, and not be negative');
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION USING ERRCODE = 'CH003',
            MESSAGE = format('chaos.eventually cannot wait at %s: it would see the same rows for ever',
                current_setting('transaction_isolation')),
            HINT = 'Call it at read committed.';
    END IF;
    LOOP
        PERFORM pg_stat_clear_snapshot();
        EXECUTE ask INTO held, seen;
        EXIT WHEN held OR clock_timestamp() >= deadline;
        PERFORM pg_sleep(pause);
        pause := least(pause * 1.5, 0.05);
    END LOOP;
    RETURN chaos._tap('chaos.eventually', held, coalesce(description, 'eventually: ' || query),
        format(E'not within %s: %s\nlast seen: %s', timeout, query, coalesce(seen::text, 'no row')));
END
$$;
COMMENT ON FUNCTION chaos.eventually(text, interval, text) IS
'pgTAP assertion: a query comes true in time. query: of one boolean column; it is asked again and again until there is a row and all rows are true. timeout: an interval with its unit. description: of the assertion. Errors: CH003 at repeatable read and serializable, where it could not see a change; CH005 without pgTAP; CH006 in a session of a scenario; 22023 for a wrong argument; the query''s own, at once.
Example: SELECT chaos.eventually(''SELECT count(*) = 0 FROM job WHERE state = ''''waiting'''''', ''5s'', ''the queue is emptied'');';

CREATE FUNCTION chaos._left_behind() RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    -- else what cannot be told apart may be that of another scenario
    alone CONSTANT boolean := chaos._setting('chaos.run') IS NULL;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    RETURN QUERY
        SELECT format('open transaction: %s, %s, pid %s',
                      coalesce(nullif(a.application_name, ''), a.usename::text), a.state, a.pid)
          FROM pg_catalog.pg_stat_activity AS a
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
           AND a.backend_type = 'client backend' AND chaos._among_us(a.pid)
        UNION ALL
        SELECT 'prepared transaction: ' || x.gid FROM pg_catalog.pg_prepared_xacts AS x
         WHERE x.database = current_database() AND alone
        UNION ALL
        SELECT format('advisory lock: (%s), %s',
                      CASE l.objsubid WHEN 1 THEN ((l.classid::bigint << 32) | l.objid::bigint)::text
                           ELSE l.classid || ', ' || l.objid END,
                      coalesce(nullif(a.application_name, '') || ', pid ' || l.pid, 'pid ' || l.pid,
                               'a prepared transaction'))
          FROM chaos.locks AS l LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND (alone OR chaos._among_us(l.pid))
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        UNION ALL
        SELECT 'invalid index: ' || i.indexrelid::regclass
          FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
         WHERE NOT (i.indisvalid AND i.indisready) AND c.relkind = 'i'
           AND (alone OR c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = current_schema()))
        UNION ALL
        SELECT 'replication slot: ' || s.slot_name FROM pg_catalog.pg_replication_slots AS s
         WHERE s.database = current_database() AND alone
        UNION ALL
        -- the run's own: its sessions stand until the check is done
        SELECT format('session: %s, pid %s', coalesce(nullif(a.application_name, ''), a.usename::text), a.pid)
          FROM pg_catalog.pg_stat_activity AS a
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
           AND alone AND a.application_name !~ '[[][0-9]+]$|^pgchaos( |$)'
           AND a.application_name NOT IN ('setup', 'check', 'admin', 'invariant', 'fault');
    PERFORM pg_stat_clear_snapshot();
END
$$;
COMMENT ON FUNCTION chaos._left_behind() IS 'Internal: what chaos.no_leaks finds, a line each.';

CREATE FUNCTION chaos.no_leaks(description text DEFAULT 'nothing was left behind') RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found CONSTANT text := (SELECT string_agg(leak, E'\n' ORDER BY leak COLLATE "C") FROM chaos._left_behind() AS leak);
BEGIN
    RETURN chaos._tap('chaos.no_leaks', found IS NULL, description, found);
END
$$;
COMMENT ON FUNCTION chaos.no_leaks(text) IS
'pgTAP assertion: nothing was left behind in this database, as far as the calling role may see: open transactions of other sessions, prepared transactions, advisory locks (the caller''s too), invalid indexes, replication slots, and sessions that belong neither to the caller nor to the run. description: of the assertion. Errors: CH005 without pgTAP, CH006 in a session of a scenario.
Example: SELECT chaos.no_leaks();';

CREATE FUNCTION chaos.blocked_by(blocked_session text, blocking_session text, description text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    held CONSTANT boolean := chaos.is_blocked(blocked_session, coalesce(blocking_session, ''));
    standing text;
BEGIN
    SELECT string_agg(c.who || coalesce(' waits for ' || nullif((
               SELECT string_agg(CASE b WHEN 0 THEN 'a prepared transaction'
                                 ELSE coalesce(nullif(a.application_name, ''), 'pid ' || b) END, ', ')
                 FROM unnest(pg_blocking_pids(c.pid)) AS b LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b
           ), ''), ' does not wait for a lock'), E'\n')
      INTO standing FROM chaos._connections(blocked_session) AS c;
    PERFORM pg_stat_clear_snapshot();
    RETURN chaos._tap('chaos.blocked_by', held,
        coalesce(description, format('%s waits for %s', blocked_session, blocking_session)),
        coalesce(standing, 'there is no connection ' || blocked_session));
END
$$;
COMMENT ON FUNCTION chaos.blocked_by(text, text, text) IS
'pgTAP assertion: all connections of one session wait now, directly, for a lock that the other holds or asked for before. blocked_session, blocking_session: a name, or one connection such as cashier[2]. description: of the assertion. Where it fails, it shows who waits for whom. In a session of a scenario, use chaos.is_blocked with chaos.assert. Errors: CH005 without pgTAP, CH006 in a session of a scenario, 22023 for NULL.
Example: SELECT chaos.blocked_by(''reader'', ''migration'');';
