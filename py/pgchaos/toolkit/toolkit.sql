-- The toolkit of pgchaos: schema chaos. Needs no superuser and no file on the server.

CREATE SCHEMA chaos;
COMMENT ON SCHEMA chaos IS 'pgchaos: what a scenario asks, and what its run recorded';
GRANT USAGE ON SCHEMA chaos TO PUBLIC;

CREATE TABLE chaos.history (
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
COMMENT ON TABLE chaos.history IS
'One row for each statement that a session sent, or skipped (then sqlstate is NULL), in order of time. sqlstate is 00000 after success. waited_on names the connections that it was seen waiting for, such as cashier[1], joined by comma and space; empty means not observed.';

CREATE TABLE chaos.transactions (
    session text NOT NULL,
    worker integer NOT NULL,
    iteration integer NOT NULL,
    attempt integer NOT NULL,
    block boolean NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('committed', 'rolled back', 'unknown')),
    sqlstate text
);
COMMENT ON TABLE chaos.transactions IS
'One row for each BEGIN … COMMIT block (block is true) and each statement outside one that the sessions ended. unknown: the connection was lost after COMMIT was sent.';

CREATE TABLE chaos.notifications (
    session text NOT NULL,
    worker integer NOT NULL,
    channel text NOT NULL,
    payload text NOT NULL,
    received_at timestamptz NOT NULL
);
COMMENT ON TABLE chaos.notifications IS 'One row for each notification that a session received.';

GRANT SELECT ON ALL TABLES IN SCHEMA chaos TO PUBLIC;

CREATE FUNCTION chaos.worker() RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT nullif(current_setting('chaos.worker', true), '')::integer $$;
COMMENT ON FUNCTION chaos.worker() IS
'The number of this connection in its session, from 1; NULL outside a session. Example: INSERT INTO job VALUES (chaos.worker());';

CREATE FUNCTION chaos.iteration() RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT nullif(current_setting('chaos.iteration', true), '')::integer $$;
COMMENT ON FUNCTION chaos.iteration() IS
'How often this session runs now, from 1 up to its repeat; NULL outside a session. Example: SELECT chaos.iteration();';

CREATE FUNCTION chaos.var(name text) RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT nullif(current_setting('chaos.vars', true), '')::json ->> $1 $$;
COMMENT ON FUNCTION chaos.var(text) IS
'The value of a psql variable, where psql does not look: inside functions and DO blocks. NULL where it is not set. Example: PERFORM chaos.var(''level'');';

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
'An assertion that may stand in any session, worker and iteration, needs no plan, and holds through a rollback. false and NULL fail it; the run goes on. Example: SELECT chaos.assert(balance >= 0, ''never negative'') FROM account;';
