from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.language.schema_sandbox import refusals
from tests.language.reading import problems

REFUSED = [
    # (what the message begins with, the statement)
    ("VACUUM", "VACUUM"),
    ("VACUUM", "vacuum (FULL, ANALYZE) seat"),
    ("VACUUM", "VACUUM/* all */seat"),
    ("ANALYZE without a table", "ANALYZE"),
    ("ANALYZE without a table", "analyse verbose"),
    ("ANALYZE without a table", "ANALYZE (VERBOSE, SKIP_LOCKED)"),
    ("CLUSTER without a table", "CLUSTER"),
    ("CLUSTER without a table", "CLUSTER (VERBOSE)"),
    ("REINDEX DATABASE", "REINDEX DATABASE shop"),
    ("REINDEX SYSTEM", "REINDEX (VERBOSE) SYSTEM shop"),
    ("REINDEX SCHEMA", "REINDEX SCHEMA shop"),
    ("CHECKPOINT", "CHECKPOINT"),
    ("LISTEN", "LISTEN news"),
    ("UNLISTEN", "UNLISTEN *"),
    ("NOTIFY", "NOTIFY news, 'now'"),
    ("PREPARE TRANSACTION", "PREPARE TRANSACTION 'one'"),
    ("PREPARE TRANSACTION", "prepare\ttransaction :'name'"),
    ("COMMIT PREPARED", "COMMIT PREPARED 'one'"),
    ("ROLLBACK PREPARED", "ROLLBACK PREPARED 'one'"),
    ("CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY i ON seat (id)"),
    ("CONCURRENTLY", "DROP INDEX CONCURRENTLY i"),
    ("CONCURRENTLY", "REINDEX INDEX CONCURRENTLY i"),
    ("CONCURRENTLY", "REFRESH MATERIALIZED VIEW CONCURRENTLY v"),
    ("CONCURRENTLY", "ALTER TABLE t DETACH PARTITION p CONCURRENTLY"),
    ("SERIALIZABLE", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
    ("SERIALIZABLE", "START TRANSACTION READ ONLY, ISOLATION LEVEL serializable, DEFERRABLE"),
    ("SERIALIZABLE", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    ("SERIALIZABLE", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    ("SERIALIZABLE", "SET default_transaction_isolation TO serializable"),
    ("SERIALIZABLE", "SET LOCAL transaction_isolation = 'Serializable'"),
    ("SERIALIZABLE", "SELECT set_config('default_transaction_isolation', 'serializable', false)"),
    ("SET search_path", "SET search_path = public"),
    ("SET search_path", "SET LOCAL search_path TO other, public"),
    ("SET search_path", 'set session "search_path" to default'),
    ("SET search_path", "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = x AS 'SELECT 1'"),
    ("SET search_path", "ALTER FUNCTION f() SET search_path FROM CURRENT"),
    ("SET SCHEMA", "SET SCHEMA 'other'"),
    ("SET SCHEMA", "ALTER TABLE seat SET SCHEMA other"),
    ("RESET search_path", "RESET search_path"),
    ("RESET ALL", "RESET ALL"),
    ("DISCARD ALL", "DISCARD ALL"),
    ("set_config('search_path', …)", "SELECT pg_catalog.set_config('search_path', 'other', true)"),
    ("ALTER SYSTEM", "ALTER SYSTEM SET work_mem = '1MB'"),
    ("ALTER DATABASE", "ALTER DATABASE shop SET work_mem = '1MB'"),
    ("CREATE DATABASE", "CREATE DATABASE other"),
    ("CREATE ROLE", "CREATE ROLE clerk"),
    ("ALTER ROLE", "ALTER ROLE clerk SET work_mem = '1MB'"),
    ("DROP USER", "DROP USER clerk"),
    ("CREATE USER MAPPING", "CREATE USER MAPPING FOR clerk SERVER away"),
    ("CREATE EXTENSION", "CREATE EXTENSION IF NOT EXISTS btree_gist"),
    ("CREATE SCHEMA", "CREATE SCHEMA other"),
    ("CREATE TABLESPACE", "CREATE TABLESPACE fast LOCATION '/x'"),
    ("CREATE SERVER", "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw"),
    ("CREATE SUBSCRIPTION", "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p"),
    ("CREATE PUBLICATION", "CREATE PUBLICATION p FOR TABLE seat"),
    ("CREATE EVENT TRIGGER", "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()"),
    ("CREATE CAST", "CREATE CAST (int AS seat_no) WITH FUNCTION f(int)"),
    ("ALTER DEFAULT PRIVILEGES", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO clerk"),
    ("COMMENT ON DATABASE", "COMMENT ON DATABASE shop IS 'x'"),
    ("COMMENT ON ROLE", "COMMENT ON ROLE clerk IS NULL"),
    ("DROP OWNED", "DROP OWNED BY clerk"),
    ("GRANT or REVOKE on what belongs to no schema", "GRANT CREATE ON DATABASE shop TO clerk"),
    ("IN SCHEMA", "GRANT SELECT ON ALL TABLES IN SCHEMA other TO clerk"),
    ("GRANT of a role", "GRANT manager TO clerk"),
    ("LOCK of a system catalog", "LOCK TABLE pg_catalog.pg_class IN EXCLUSIVE MODE"),
    ("pg_advisory_lock()", "SELECT pg_advisory_lock(1)"),
    ("pg_try_advisory_xact_lock()", "SELECT * FROM t JOIN u ON pg_try_advisory_xact_lock (1, 2)"),
    ("pg_advisory_unlock_all()", "SELECT PG_CATALOG.PG_ADVISORY_UNLOCK_ALL()"),
    ("pg_advisory_lock()", 'SELECT "pg_advisory_lock"(1)'),
    ("pg_notify()", "SELECT pg_notify('a', 'b')"),
    ("pg_terminate_backend()", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"),
    ("pg_cancel_backend()", "SELECT pg_cancel_backend(4711)"),
    ("lo_create()", "SELECT lo_create(0)"),
    ("dblink_exec()", "SELECT dblink_exec('dbname=x', 'SELECT 1')"),
    ("dblink()", "SELECT * FROM dblink('SELECT 1') AS t (a int)"),
    ("pg_reload_conf()", "SELECT pg_reload_conf()"),
    ("pg_create_physical_replication_slot()", "SELECT pg_create_physical_replication_slot('s')"),
    ("chaos.snapshot()", "SELECT chaos.snapshot('seats', 'TABLE seat')"),
    ("chaos.unchanged()", "SELECT chaos.unchanged('seats')"),
    ("chaos.clear_faults()", "SELECT chaos . clear_faults ( )"),
    # the same where they are not the statement itself
    ("pg_advisory_lock()", "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$"),
    ("pg_advisory_lock()", "DO 'BEGIN PERFORM pg_advisory_lock(1); END'"),
    ("NOTIFY", "DO $x$ BEGIN IF true THEN NOTIFY news; END IF; END $x$"),
    ("NOTIFY", "DO $x$ BEGIN EXECUTE 'NOTIFY news'; END $x$"),
    ("NOTIFY", "DO $x$ BEGIN EXECUTE format('NOTIFY %I', 'news'); END $x$"),
    ("pg_notify()", "CREATE OR REPLACE FUNCTION f() RETURNS x LANGUAGE plpgsql AS $$BEGIN PERFORM pg_notify(a); END$$"),
    ("pg_notify()", "CREATE FUNCTION f() RETURNS void AS 'SELECT pg_notify(''a'', ''b'')' LANGUAGE sql"),
    ("pg_notify()", "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC SELECT 1; SELECT pg_notify('a', 'b'); END"),
    ("VACUUM", "SELECT throws_ok($$VACUUM seat$$, '25001')"),
    ("pg_advisory_lock()", "SELECT chaos.eventually('SELECT pg_advisory_lock(1) IS NULL')"),
    ("LISTEN", "SELECT 1; LISTEN news"),
    # names
    ("other.seat", "SELECT * FROM other.seat"),
    ("other.seat", 'SELECT * FROM "other"."seat"'),
    ("public.seat", "SELECT 1 FROM a, public.seat s"),
    ("other.seat", "SELECT 1 FROM a x LEFT JOIN other.seat y ON x.id = y.id"),
    ("other.f", "SELECT * FROM LATERAL other.f(1)"),
    ("other.seat", "SELECT (SELECT max(id) FROM ONLY other . seat)"),
    ("other.seat", "INSERT INTO other.seat (id) VALUES (1)"),
    ("other.seat", "SELECT 1 AS a INTO TEMP other.seat"),
    ("other.seat", "UPDATE ONLY other.seat SET id = 1"),
    ("other.seat", "DELETE FROM other.seat"),
    ("other.b", "DELETE FROM a USING other.b WHERE a.id = b.id"),
    ("other.seat", "MERGE INTO seat USING other.seat s ON s.id = seat.id WHEN MATCHED THEN DELETE"),
    ("other.seat", "TABLE other.seat"),
    ("other.seat", "TRUNCATE a, other.seat"),
    ("other.seat", "LOCK TABLE a, other.seat IN EXCLUSIVE MODE"),
    ("other.seat", "LOCK other.seat"),
    ("other.seat", "COPY other.seat FROM STDIN"),
    ("other.seat", "ANALYZE (VERBOSE) other.seat (id)"),
    ("other.seat", "CREATE TABLE IF NOT EXISTS other.seat (id int)"),
    ("other.seat", "ALTER TABLE IF EXISTS ONLY other.seat ADD c int"),
    ("other.seat", "DROP TABLE a, other.seat CASCADE"),
    ("other.v", "CREATE OR REPLACE VIEW other.v AS SELECT 1"),
    ("other.v", "REFRESH MATERIALIZED VIEW other.v"),
    ("other.seat", "CREATE INDEX i ON other.seat (id)"),
    ("other.seat", "CREATE TRIGGER t AFTER INSERT OR UPDATE ON other.seat EXECUTE FUNCTION f()"),
    ("other.f", "CREATE TRIGGER t AFTER INSERT ON seat EXECUTE FUNCTION other.f()"),
    ("other.seat", "DROP TRIGGER t ON other.seat"),
    ("other.seat", "CREATE RULE r AS ON INSERT TO other.seat DO NOTHING"),
    ("other.seat", "CREATE TABLE a (id int REFERENCES other.seat (id))"),
    ("other.seat", "CREATE TABLE a (LIKE other.seat)"),
    ("other.seat", "CREATE TABLE a () INHERITS (b, other.seat)"),
    ("other.seat", "CREATE TABLE a PARTITION OF other.seat DEFAULT"),
    ("other.p", "ALTER TABLE a ATTACH PARTITION other.p DEFAULT"),
    ("other.kind", "CREATE TABLE a (id int, k other.kind NOT NULL)"),
    ("other.kind", "ALTER TABLE a ADD COLUMN k other.kind"),
    ("other.kind", "ALTER TABLE a ALTER COLUMN k TYPE other.kind USING k::text::int"),
    ("other.kind", "CREATE FUNCTION f(other.kind) RETURNS int RETURN 1"),
    ("other.kind", "CREATE FUNCTION f(a int) RETURNS SETOF other.kind RETURN 1"),
    ("other.kind", "SELECT 'a'::other.kind"),
    ("other.kind", "SELECT CAST(a.b AS other.kind) FROM a"),
    ("other.seat", "SELECT 'other.seat'::regclass"),
    ("other.ids", "SELECT nextval('other.ids')"),
    ("other.+", "SELECT 1 OPERATOR(other.+) 1"),
    ("other.C", 'SELECT a.b COLLATE other."C" FROM a'),
    ("other.f", "SELECT a.b, other.f(a.b) FROM a"),
    ("other.add", "CREATE AGGREGATE total (int) (SFUNC = other.add, STYPE = int)"),
    ("other.p", "CALL other.p()"),
    ("other.seat", "GRANT SELECT ON other.seat TO clerk"),
    ("other.seat", "COMMENT ON TABLE other.seat IS 'x'"),
    ("other.seat.id", "COMMENT ON COLUMN other.seat.id IS 'x'"),
    ("other.seat.id", "ALTER SEQUENCE s OWNED BY other.seat.id"),
    ("other.seat", "DO $$ DECLARE r other.seat%ROWTYPE; BEGIN END $$"),
    ("other.kind", "DO $$ DECLARE a int; k CONSTANT other.kind := 1; BEGIN END $$"),
    ("other.seat.id", "DO $$ DECLARE k other.seat.id%TYPE; BEGIN END $$"),
    ("other.seat", "DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM other.seat; END $$"),
    ("other.seat", "DO $$ BEGIN FOR r IN SELECT * FROM other.seat LOOP INSERT INTO a VALUES (r.id); END LOOP; END $$"),
    (":place.seat", "SELECT * FROM :place.seat"),
    (':"place".f', 'SELECT :"place".f(1)'),
]  # fmt: skip

ALLOWED = [
    "",
    ";",
    "INSERT INTO note VALUES ('VACUUM')",
    "INSERT INTO note VALUES ($$SELECT pg_advisory_lock(1)$$)",
    "SELECT 'LISTEN news; NOTIFY news'",
    'SELECT "vacuum" FROM t',
    'SELECT 1 AS "isolation level serializable"',
    'CREATE TABLE "concurrently" (id int)',
    "-- VACUUM\nSELECT 1",
    "/* SELECT pg_advisory_lock(1) /* nested */ VACUUM */ SELECT 1",
    "SELECT $$ other.seat $$, E'it\\'s FROM other.seat'",
    "ANALYZE seat",
    "ANALYZE (VERBOSE) seat (id)",
    "EXPLAIN (ANALYZE) SELECT 1",
    "CLUSTER seat USING seat_pkey",
    "REINDEX TABLE seat",
    "REFRESH MATERIALIZED VIEW v",
    "BEGIN",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET default_transaction_isolation = 'repeatable read'",
    "COMMIT",
    "ROLLBACK TO SAVEPOINT a",
    "PREPARE transaction AS SELECT 1",
    "PREPARE q (int) AS SELECT $1",
    "SET ROLE clerk",
    "SET LOCAL lock_timeout = '2s'",
    "RESET lock_timeout",
    "DISCARD TEMP",
    "SET app.search_path = 'x'",
    "UPDATE setting SET search_path = 'x', schema = 'y'",
    "SELECT set_config('lock_timeout', '1s', true)",
    "SELECT current_setting('search_path')",
    "SELECT pid, granted FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'",
    "SELECT pg_blocking_pids(pid) FROM pg_catalog.pg_stat_activity",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend ( pg_backend_pid ( ) )",
    "SELECT lo_fi(1), lo FROM dblinks",
    "INSERT INTO dblink (a) VALUES (1)",
    "CREATE INDEX i ON loread (a)",
    "WITH dblink (a) AS (SELECT 1) SELECT a FROM dblink",
    "GRANT SELECT ON seat TO clerk",
    "REVOKE ALL ON seat, booking FROM clerk",
    "COMMENT ON TABLE seat IS 'of a database'",
    "COMMENT ON COLUMN seat.id IS 'x'",
    "COMMENT ON TRIGGER t ON seat IS 'x'",
    "LOCK TABLE seat IN ACCESS EXCLUSIVE MODE",
    "SELECT chaos.assert(true, 'x'), chaos.worker(), chaos.delay('5ms')",
    "SELECT is(count(*), 1::bigint, 'VACUUM pg_advisory_lock() FROM other.seat') FROM chaos.transactions t",
    "SELECT chaos.clear_faults('seat')",
    "SELECT chaos.signal('ready'), chaos.wait_for('ready'), chaos.barrier('both', 2), chaos.no_leaks()",
    "SELECT chaos.terminate('a'), chaos.cancel('a'), chaos.is_blocked('a'), chaos.blocked_by('a', 'b')",
    "SELECT chaos.wait_blocked('a')",
    "SELECT throws_ok('SELECT 1/0', '22012', NULL, 'VACUUM fails')",
    # alias.column, wherever it may be
    "SELECT s.id, s.*, count(s.buyer) FROM seat s",
    "SELECT a.x FROM t a JOIN u b ON a.id = b.id AND b.y IN (a.x, b.x) WHERE a.z = b.z",
    "SELECT a.x FROM t a, u b WHERE a.id = b.id ORDER BY a.x, b.y",
    "SELECT a.x, b.y, row_number() OVER (PARTITION BY a.x ORDER BY b.y) FROM t a, LATERAL (SELECT a.y) b",
    "SELECT a.x AS y, b.y AS type, b.z index FROM t a JOIN u b USING (id) GROUP BY a.x, b.y",
    "SELECT type, t.x FROM t",
    "SELECT extract(epoch FROM a.at), substring(a.x FROM 2), trim(both 'x' FROM a.x) FROM t a",
    "SELECT a.x IS DISTINCT FROM b.x, a.y IS NOT DISTINCT FROM b.y FROM t a, t b",
    "SELECT a.x::int, (a.y)::text, CAST(a.z AS numeric(10, 2)) FROM t a",
    "SELECT (a.pair).x, a.list[1], a.list[a.i : a.j] FROM t a",
    "UPDATE t SET x = u.x, y = u.y FROM u WHERE t.id = u.id",
    "UPDATE t AS a SET (x, y) = (SELECT b.x, b.y FROM u b WHERE b.id = a.id) RETURNING a.x, a.y",
    "INSERT INTO t (a) SELECT u.a FROM u ON CONFLICT (a) DO UPDATE SET a = EXCLUDED.a, b = t.b",
    "DELETE FROM t USING u WHERE t.id = u.id",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET x = u.x",
    "SELECT 1 FROM t FOR UPDATE OF t SKIP LOCKED",
    "SELECT a.x LIKE b.x FROM t a, t b",
    "SELECT max(a.x) FILTER (WHERE a.y) FROM t a HAVING max(a.x) > min(a.y)",
    "CREATE TABLE t (a int, b numeric(1, 0), CHECK (t.a > 0), EXCLUDE USING gist (a WITH =))",
    "CREATE TABLE t AS SELECT a.x, b.y FROM u a JOIN w b ON a.id = b.id",
    "CREATE VIEW v AS SELECT a.x, b.y FROM u a JOIN w b ON a.id = b.id",
    "CREATE POLICY p ON t USING (EXISTS (SELECT 1 FROM u JOIN w ON u.id = w.id WHERE u.x = t.x))",
    "CREATE RULE r AS ON INSERT TO t DO ALSO SELECT a.x FROM u a JOIN w b ON a.id = b.id",
    "CREATE TRIGGER g BEFORE UPDATE OF a, b ON t FOR EACH ROW WHEN (OLD.a <> NEW.a) EXECUTE FUNCTION f()",
    "ALTER TABLE t ALTER COLUMN a TYPE text USING t.a::text",
    "ALTER SEQUENCE s OWNED BY t.id",
    "CREATE FUNCTION f(a int, b text DEFAULT 'x.y') RETURNS TABLE (c int) LANGUAGE sql AS $$SELECT t.c FROM t$$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$from os.path import join$$",
    "DO $$ import os.path $$ LANGUAGE plpython3u",
    "DO $$ DECLARE r record; k t.id%TYPE; n int := 1; BEGIN SELECT t.a, t.b INTO r.a, r.b FROM t; RETURN; END $$",
    "DO $$ BEGIN EXECUTE 'SELECT $1' INTO r.x USING r.y, r.z; FOR i IN r.lo..r.hi LOOP NULL; END LOOP; END $$",
    "DO $$ BEGIN RAISE NOTICE 'VACUUM %', CASE WHEN r.x THEN r.y ELSE r.z END; END $$",
    "DO $$ BEGIN n := CASE WHEN a THEN notify ELSE checkpoint END; END $$",
    "FETCH NEXT FROM c",
    "COPY (SELECT a.x FROM t a) TO STDOUT",
    "SELECT ids.id, 'a.b'::text, 'seat'::regclass, nextval('ids') FROM ids",
    "SELECT x::pg_catalog.int4, pg_catalog.now() FROM information_schema.tables t, pg_temp.u",
    "SELECT 1 OPERATOR(pg_catalog.+) 1, 'a' COLLATE pg_catalog.\"C\"",
    "SELECT :amount, :'name', :\"col\" FROM t a WHERE a.x = :value",
    "SELECT a.:col FROM t a JOIN :table b ON a.id = b.:col",
    "SELECT 1.5, .5, 1..2",
    "SHOW app.name",
]  # fmt: skip


@pytest.mark.parametrize(("subject", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_refused(subject: str, text: str) -> None:
    assert [refusal.text for refusal in refusals(text) if refusal.text.startswith(f"`{subject}`")]


@pytest.mark.parametrize("text", [text for _, text in REFUSED if not set(text) & set("'\"$:")])
def test_letters_comments_and_lines_change_nothing(text: str) -> None:
    count = len(refusals(text))
    assert len(refusals(text.upper())) == len(refusals(text.lower())) == count
    assert len(refusals(text.replace(" ", " /* ' */ "))) == len(refusals(text.replace(" ", "--'\n"))) == count


@pytest.mark.parametrize("text", [text for _, text in REFUSED])
def test_lines_are_counted_from_the_beginning_of_the_text(text: str) -> None:
    assert {refusal.line for refusal in refusals(f"\n\n{text}")} == {2}


@pytest.mark.parametrize("text", ALLOWED)
def test_allowed(text: str) -> None:
    assert refusals(text) == []


def test_the_line_is_that_of_what_is_refused() -> None:
    text = "DO $$\nBEGIN\n  NULL;\n  -- one\n  PERFORM pg_notify('a', 'b');\n  EXECUTE '\n    VACUUM';\nEND $$"
    assert [refusal.line for refusal in refusals(text)] == [4, 6]
    assert [refusal.line for refusal in refusals("CREATE INDEX\n CONCURRENTLY i\n ON other.t (a)")] == [1, 2]


def test_a_function_that_the_file_makes_itself_is_none_of_the_server() -> None:
    assert refusals("SELECT lo_get(1)")
    assert not refusals("SELECT lo_get(1)", frozenset({"lo_get"}))


WORDS = [word for _, text in REFUSED for word in text.split()] + [text for text in ALLOWED if " " not in text]


@given(st.lists(st.sampled_from([*WORDS, "(", ")", ".", "'", '"', "$$", ";", "/*", "--", "\n", "::", "E'\\", ":x"])))
def test_any_words_raise_no_error(words: list[str]) -> None:
    text = " ".join(words)
    assert all(0 <= refusal.line <= text.count("\n") for refusal in refusals(text))


@given(st.text())
def test_any_text_raises_no_error(text: str) -> None:
    assert all(0 <= refusal.line <= text.count("\n") for refusal in refusals(text))


@given(st.sampled_from([text for _, text in REFUSED] + ALLOWED), st.integers(0, 80), st.text(max_size=3))
def test_a_damaged_statement_raises_no_error(text: str, at: int, damage: str) -> None:
    refusals(text[:at] + damage + text[at + 1 :])


def heads(lines: list[str]) -> list[str]:
    return [line[: line.index("`", line.index("`") + 1) + 1] for line in lines]


EVERYWHERE = """\
-- chaos:sandbox schema
-- chaos:setup
VACUUM;
-- chaos:session a
BEGIN;
SELECT 1 \\;
 LISTEN x;
COMMIT;
-- chaos:invariant
SELECT true AS fine FROM other.t;
-- chaos:check
SELECT pass() FROM pg_advisory_lock(1);
-- chaos:teardown
DISCARD ALL;
-- chaos:mutant no lock
NOTIFY x;
-- chaos:replace 'COMMIT' with 'PREPARE TRANSACTION ''x''' in a
-- chaos:caught by 'x'
-- chaos:mutant no wait
-- chaos:session a
CHECKPOINT;
-- chaos:caught by 'x'
"""
REFUSALS = [
    "t.sql:3: `VACUUM`",
    "t.sql:7: `LISTEN`",
    "t.sql:10: `other.t`",
    "t.sql:12: `pg_advisory_lock()`",
    "t.sql:14: `DISCARD ALL`",
    "t.sql:16: `NOTIFY`",
    "t.sql:17: `PREPARE TRANSACTION`",
    "t.sql:21: `CHECKPOINT`",
]


def test_every_section_is_checked_and_all_is_reported_at_once(tmp_path: Path) -> None:
    assert heads(problems(tmp_path, EVERYWHERE)) == REFUSALS


def test_without_the_directive_nothing_is_refused(tmp_path: Path) -> None:
    for sandbox in ("database", "server"):
        assert problems(tmp_path, EVERYWHERE.replace("sandbox schema", f"sandbox {sandbox}")) == []


def test_a_refusal_says_what_to_do(tmp_path: Path) -> None:
    assert problems(tmp_path, "-- chaos:sandbox schema\n-- chaos:check\nNOTIFY x;\nTABLE other.t;\n") == [
        "t.sql:3: `NOTIFY` reaches beyond the schema of `sandbox schema`: a channel belongs to the whole database;"
        " leave the directive out to get a database of its own",
        "t.sql:4: `other.t` names another schema than that of `sandbox schema`: write `t`, which is looked for there"
        " first, or leave the directive out to get a database of its own",
    ]


def test_a_name_of_an_extension_is_not_to_be_written_without_its_schema(tmp_path: Path) -> None:
    head = "-- chaos:sandbox schema\n-- chaos:requires extension audit >= 1.0\n-- chaos:check\n"
    assert problems(tmp_path, head + "SELECT is(count(*), 1::bigint, 'one') FROM audit.event;\nTABLE other.t;\n") == [
        "t.sql:4: `audit.event` belongs to the extension `audit`, which other scenarios in the database use and change"
        " too: a scenario with `sandbox schema` may not use it by its schema; leave the directive out to get a database"
        " of its own",
        "t.sql:5: `other.t` names another schema than that of `sandbox schema`: write `t`, which is looked for there"
        " first, or leave the directive out to get a database of its own (if it belongs to an extension, only that"
        " helps: audit)",
    ]


@pytest.mark.parametrize(
    ("levels", "refused"), [("'repeatable read', serializable", True), ("'read committed'", False)]
)
@pytest.mark.parametrize(
    "statement", ["BEGIN ISOLATION LEVEL :level", "SET default_transaction_isolation = :'level'", "BEGIN; :level"]
)
def test_the_values_of_a_matrix_are_checked(tmp_path: Path, statement: str, levels: str, refused: bool) -> None:
    head = f"-- chaos:sandbox schema\n-- chaos:matrix level in {levels}\n"
    found = problems(tmp_path, f"{head}-- chaos:check\n{statement};\nSELECT pass();\n")
    assert heads(found) == (["t.sql:4: `SERIALIZABLE`"] if refused and "; :" not in statement else [])


def test_a_matrix_may_name_a_table_and_no_schema(tmp_path: Path) -> None:
    head = "-- chaos:sandbox schema\n-- chaos:matrix place in seat, other\n"
    assert problems(tmp_path, f"{head}-- chaos:check\nSELECT pass() FROM :place;\n") == []
    assert heads(problems(tmp_path, f"{head}-- chaos:check\nSELECT pass() FROM :place.t;\n")) == [
        "t.sql:4: `other.t`",
        "t.sql:4: `seat.t`",
    ]


def test_what_the_server_makes_at_run_time_is_not_seen(tmp_path: Path) -> None:
    text = "-- chaos:sandbox schema\n-- chaos:check\nSELECT 'VACUUM seat' \\gexec\nSELECT pass();\n"
    assert problems(tmp_path, text) == []


def test_a_missing_semicolon_is_reported_without_its_consequences(tmp_path: Path) -> None:
    text = "-- chaos:sandbox schema\n-- chaos:session a\nVACUUM\n-- chaos:check\nSELECT pass();\n"
    assert [line.partition(": ")[2][:7] for line in problems(tmp_path, text)] == ["`check`"]
