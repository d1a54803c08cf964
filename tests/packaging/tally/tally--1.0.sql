CREATE TABLE tally (name text PRIMARY KEY, n bigint NOT NULL);

CREATE FUNCTION tally_add(what text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO tally AS t VALUES (what, 1) ON CONFLICT (name) DO UPDATE SET n = t.n + 1 RETURNING n;
$$;
