"""The schema of a search that is kept from one run to the next: each run finds what it would find in a new database."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from pgchaos.engine.reused_schema import ReusedSandbox, ReusedSchema
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search import strategy
from pgchaos.server import Sandbox, Server, sandbox_provider
from tests.often import often

_RUNS = 6
CODES = " allow 23502 23503 23505 23514 25001 25P02 40001 40P01 42701 42703 42704 42P01 42P07 42P05 55006 34000 42P03"
_SCHEMA = re.compile(r"chaos_s\d+")

# The server may analyze a table at any time, in a new database too.
_TABLES = """\
CREATE TABLE item (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, price int DEFAULT 1 CHECK (price > 0),
    twice int GENERATED ALWAYS AS (price * 2) STORED, long text) WITH (autovacuum_enabled = false);
CREATE TABLE sale (id serial PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE, n int NOT NULL)
    WITH (autovacuum_enabled = false);
CREATE UNLOGGED TABLE plain (v text) WITH (autovacuum_enabled = false);
CREATE TABLE many (v text) WITH (autovacuum_enabled = false);
CREATE TABLE part (k int NOT NULL, v text) PARTITION BY LIST (k);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1) WITH (autovacuum_enabled = false);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2) WITH (autovacuum_enabled = false);
CREATE TABLE log (what text) WITH (autovacuum_enabled = false);
CREATE SEQUENCE ticket START 7;
CREATE VIEW cheap AS SELECT name FROM item WHERE price < 3;
{functions}
INSERT INTO item (name, price, long) VALUES ('nut', 1, repeat('n', 3000)), ('bolt', 2, NULL), ('gear', 5, 'g');
INSERT INTO sale (item, n) VALUES (1, 10), (2, 20);
INSERT INTO plain VALUES ('a'), ('b'), ('c'), (NULL);
INSERT INTO part VALUES (1, 'one'), (2, 'two'), (1, 'uno');
"""
WITHOUT_FUNCTIONS = _TABLES.format(functions="")
SETUP = _TABLES.format(
    functions="""\
CREATE FUNCTION note_sale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES (TG_OP || ' ' || NEW.n); RETURN NEW; END $$;
CREATE TRIGGER note_sale BEFORE INSERT OR UPDATE ON sale FOR EACH ROW EXECUTE FUNCTION note_sale();
"""
)

# What a run finds of what runs before it did: in the order in which a scan meets the rows.
STATE = """\
SELECT concat_ws(' / ',
    (SELECT string_agg(concat_ws(',', id, name, price, twice, length(long)), ' ') FROM item),
    (SELECT string_agg(concat_ws(',', id, item, n), ' ') FROM sale),
    (SELECT string_agg(coalesce(v, '-'), ' ') FROM plain),
    (SELECT string_agg(v, ' ') FROM many),
    (SELECT string_agg(tableoid::regclass || ',' || v, ' ') FROM part),
    (SELECT string_agg(what, ' ') FROM log),
    (SELECT last_value || ' ' || is_called FROM ticket),
    (SELECT last_value || ' ' || is_called FROM item_id_seq),
    (SELECT last_value || ' ' || is_called FROM sale_id_seq),
    (SELECT string_agg(relname || relkind::text || relnatts || coalesce(relacl::text, ''), ' ' ORDER BY relname)
       FROM pg_class WHERE relnamespace = current_schema()::regnamespace),
    (SELECT string_agg(proname || prosrc, ' ' ORDER BY proname, prosrc) FROM pg_proc
      WHERE pronamespace = current_schema()::regnamespace),
    (SELECT string_agg(description, ' ' ORDER BY description) FROM pg_description
      WHERE classoid = 'pg_class'::regclass AND objoid = 'item'::regclass),
    (SELECT string_agg(relname || ' ' || relpages || ' ' || reltuples, ' ' ORDER BY relname)
       FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'm')),
    (SELECT count(*) FROM pg_statistic s JOIN pg_class c ON c.oid = starelid
      WHERE relnamespace = current_schema()::regnamespace),
    (SELECT count(*) FROM pg_largeobject_metadata)) AS state
"""
SESSION_STATE = """\
SELECT concat_ws(' / ', current_user = session_user, current_setting('work_mem'), current_setting('search_path'),
    current_setting('application_name'), current_setting('transaction_isolation'),
    to_regclass('pg_temp.mine'), (SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements),
    (SELECT string_agg(name, ' ' ORDER BY name) FROM pg_cursors WHERE is_holdable),
    (SELECT string_agg(one, ' ' ORDER BY one) FROM pg_listening_channels() one)) AS of_session \\gset
"""
# Tables whose rows change stay within a part of one page: the server prunes a page that is nearly full of rows that no
# snapshot can see any more, and which snapshots there are at that moment is chance, in a new database too.
ROWS = (
    "UPDATE item SET price = price + 1 WHERE name = 'nut'",
    "UPDATE item SET name = name || '!' WHERE price < 3",
    "UPDATE sale SET n = n + 1",
    "INSERT INTO item (name, price) VALUES ('cog', 4) ON CONFLICT DO NOTHING",
    "INSERT INTO sale (item, n) SELECT id, 5 FROM item",
    "INSERT INTO item (name, long) VALUES ('wheel', repeat('w', 20000)) ON CONFLICT DO NOTHING",
    "INSERT INTO item (name, price) VALUES ('bad', 0)",
    "DELETE FROM sale WHERE n > 15",
    "DELETE FROM item WHERE name = 'bolt'",
    "DELETE FROM plain WHERE v = 'a'",
    "INSERT INTO many SELECT 'x' || i FROM generate_series(1, 400) i",
    "UPDATE plain SET v = 'z' WHERE v IS NULL",
    "UPDATE part SET k = 3 - k WHERE v = 'one'",
    "INSERT INTO part VALUES (2, 'zwei')",
    "SELECT count(*) FROM item FOR UPDATE",
    "SELECT * FROM item WHERE id = 1 FOR UPDATE",
    "SELECT nextval('ticket')",
    "SELECT setval('ticket', 40, false)",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
)
SESSIONS = (
    "SET work_mem = '5MB'",
    "SET enable_seqscan = off",
    "PREPARE p AS SELECT count(*) FROM item",
    "DO $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'lock_shared(7)'; END $$",
    "DECLARE c CURSOR WITH HOLD FOR SELECT name FROM item ORDER BY id",
)
DEFINITIONS = (
    "TRUNCATE plain",
    "TRUNCATE sale RESTART IDENTITY",
    "CREATE TABLE extra (id int)",
    "CREATE TEMP TABLE mine (id int)",
    "DROP TABLE IF EXISTS plain",
    "ALTER TABLE sale ADD COLUMN IF NOT EXISTS more int DEFAULT 3",
    "ALTER TABLE item ALTER COLUMN price SET DEFAULT 9",
    "ALTER SEQUENCE ticket RESTART WITH 100",
    "CREATE INDEX IF NOT EXISTS by_n ON sale (n)",
    "COMMENT ON TABLE item IS 'changed'",
    "GRANT SELECT ON item TO PUBLIC",
    "CREATE OR REPLACE FUNCTION note_sale() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
    "ALTER TABLE sale DISABLE TRIGGER note_sale",
    "CREATE OR REPLACE VIEW cheap AS SELECT name FROM item WHERE price < 9",
    "ANALYZE item",
    "DO $$ BEGIN EXECUTE 'SELECT lo_' || 'create(0)'; END $$",
)


@dataclass
class Outcomes:
    """What each run of a search told, in how many of them the schema was kept, and whether plans were kept then."""

    runs: list[object] = field(default_factory=list)
    kept: int = 0
    plans: bool = False
    remarks: list[str] = field(default_factory=list)


def _told(result: RunResult) -> object:
    """Tell all that a run brought, but for times, and the names of schemas."""
    said = [
        (one.session, one.statement, one.sqlstate, one.message, one.tag, one.rows, tuple(one.notes))
        for one in result.records
    ]
    failed = sorted((one.kind, one.text) for one in result.failures)
    asserted = [(one.name, one.ok, tuple(one.diagnostics)) for one in result.assertions]
    return _SCHEMA.sub("chaos_s", repr((said, failed, asserted, sorted(result.output), sorted(result.notes))))


@pytest.fixture
def outcomes(private_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcomes]:
    """Search a scenario, in a schema that is kept or in a new database for each run."""

    def searched(text: str, *, anew: bool = False) -> Outcomes:
        path = tmp_path / "scenario.sql"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        found = Outcomes()

        class Counted(ReusedSchema):
            @contextmanager
            def open(self, variables: Mapping[str, str]) -> Iterator[Sandbox]:
                if anew:
                    with private_server.search_schema(()) as sandbox:
                        yield sandbox
                    return
                with super().open(variables) as sandbox:
                    found.kept += getattr(sandbox, "is_set_up", False)
                    found.plans = self.connections is not None and self.connections.plans_last
                    yield sandbox

        def ran(result: RunResult, _: int) -> None:
            found.runs.append(_told(result))

        with monkeypatch.context() as patch:
            patch.setattr(strategy, "ReusedSchema", Counted)
            result = strategy.run(read(path, "scenario.sql"), {}, private_server, RunSettings(1, 60.0, ran=ran))
        found.remarks = result.remarks
        return found

    return searched


def _scenario(first: list[str], second: list[str], setup: str = SETUP, runs: int = _RUNS) -> str:
    sessions = "".join(
        f"-- chaos:session {name}{CODES}\n{SESSION_STATE}\\echo {name} begins with :of_session\n{said}"
        for name, statements in (("a", first), ("b", second))
        for said in ["".join(f"{one};\n" for one in statements)]
    )
    return (
        f"-- Anything\n-- chaos:sandbox schema\n-- chaos:schedule all up to {runs}\n-- chaos:setup\n{setup}{sessions}"
        f"-- chaos:check\nSELECT pass(state) FROM ({STATE.rstrip()}) of_run;\n"
    )


@st.composite
def _sessions(draw: st.DrawFn) -> tuple[list[str], list[str], str]:
    """Draw what two sessions do: mostly rows, so that the schema can be kept, and sometimes anything; and the setup."""
    pool = draw(st.sampled_from((ROWS, ROWS + SESSIONS, ROWS + SESSIONS + DEFINITIONS)))
    statements = st.lists(st.sampled_from(pool), min_size=1, max_size=4)
    return draw(statements), draw(statements), draw(st.sampled_from((SETUP, WITHOUT_FUNCTIONS)))


@pytest.mark.slow  # a new database for each run that is compared
@settings(
    max_examples=often(5, 60),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sessions=_sessions())
def test_each_run_finds_what_it_would_find_in_a_new_database(
    outcomes: Callable[..., Outcomes], sessions: tuple[list[str], list[str], str]
) -> None:
    text = _scenario(*sessions)
    note(text)
    again = outcomes(text)
    note(f"kept in {again.kept} of {len(again.runs)} runs")
    anew = outcomes(text, anew=True).runs
    # where something outside the schema has changed, all is done once more
    assert again.runs[-len(anew) :] == anew


def test_rows_and_sequences_are_put_back_without_a_new_schema(outcomes: Callable[..., Outcomes]) -> None:
    text = _scenario(list(ROWS[:6]), ["SELECT nextval('ticket')", *ROWS[8:12]])
    again = outcomes(text)
    assert again.kept == _RUNS - 2
    assert again.runs == outcomes(text, anew=True).runs


@pytest.mark.parametrize(("version", "kept"), [(140023, False), (150000, True)])
def test_a_server_whose_counters_come_late_has_a_new_schema_for_each_run(
    private_server: Server, tmp_path: Path, version: int, *, kept: bool
) -> None:
    path = tmp_path / "scenario.sql"
    path.write_text(_scenario(["SELECT 1"], ["SELECT 2"]), encoding="utf-8")
    schema = ReusedSchema(read(path, "scenario.sql"), lambda: private_server.search_schema(()), version)
    with closing(schema), schema.open({}) as sandbox:
        assert isinstance(sandbox, ReusedSandbox) is kept


def test_an_advisory_lock_that_a_session_leaves_is_reported_in_each_run(outcomes: Callable[..., Outcomes]) -> None:
    holds = "DO $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'lock(7)'; END $$"
    text = _scenario([holds, "UPDATE sale SET n = 1"], ["SELECT 1"], WITHOUT_FUNCTIONS)
    again = outcomes(text)
    assert again.runs == outcomes(text, anew=True).runs
    assert ["a[1] holds (7)" in str(run) for run in again.runs] == [True] * _RUNS


def test_a_signal_that_a_session_has_given_is_not_given_in_later_runs(outcomes: Callable[..., Outcomes]) -> None:
    given = "FROM pg_locks WHERE locktype = 'advisory' AND classid = chaos._class() AND database = d.oid"
    text = f"""\
-- Signals
-- chaos:sandbox schema
-- chaos:schedule all
-- chaos:setup
CREATE TABLE seen (signals int);
-- chaos:session a
SELECT chaos.signal('go');
SELECT 1;
-- chaos:session b
INSERT INTO seen SELECT (SELECT count(*) {given}) FROM pg_database d WHERE datname = current_database();
SELECT 2;
-- chaos:check
SELECT pass(signals::text) FROM seen;
"""
    again = outcomes(text)
    assert again.kept
    assert again.runs == outcomes(text, anew=True).runs


@pytest.mark.parametrize("setup", [SETUP, WITHOUT_FUNCTIONS])
def test_plans_are_kept_where_no_function_is_there_to_be_planned_otherwise(
    outcomes: Callable[..., Outcomes], setup: str
) -> None:
    text = _scenario(list(ROWS[:4]), list(ROWS[8:11]), setup)
    again = outcomes(text)
    assert again.kept == _RUNS - 2
    assert again.plans is (setup == WITHOUT_FUNCTIONS)
    assert again.runs == outcomes(text, anew=True).runs


def test_what_no_counter_tells_is_found_at_the_end(outcomes: Callable[..., Outcomes]) -> None:
    # only in an order that comes late: definitions outside have been compared before
    grant = "EXECUTE format('GRANT CREATE ON ' || 'DATABASE %I TO PUBLIC', current_database());"
    text = f"""\
-- Late
-- chaos:sandbox schema
-- chaos:schedule all
-- chaos:setup
CREATE TABLE log (what text);
-- chaos:session a
INSERT INTO log VALUES ('first');
INSERT INTO log VALUES ('second');
-- chaos:session b
SELECT count(*) AS n FROM log \\gset
SELECT :n = 1 AND count(*) = 2 AS late FROM log \\gset
\\if :late
DO $$ BEGIN {grant} END $$;
\\endif
-- chaos:check
SELECT pass('done');
"""
    again = outcomes(text)
    assert again.kept
    (remark,) = again.remarks
    assert "privileges of the database changed" in remark


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_run_that_defines_something_has_its_schema_replaced(
    outcomes: Callable[..., Outcomes], definition: str
) -> None:
    text = _scenario([definition], ["SELECT 1"])
    again = outcomes(text)
    assert again.kept == 0
    assert len(again.runs) >= _RUNS


def test_one_schedule_that_defines_something_does_not_end_it(outcomes: Callable[..., Outcomes]) -> None:
    # only where b has come first
    setup = SETUP + "CREATE FUNCTION late() RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM log"
    setup += " WHERE what = 'b') THEN CREATE TABLE extra (id int); END IF; END $$;\n"
    text = _scenario(["SELECT late()"], ["INSERT INTO log VALUES ('b')", "SELECT 1"], setup, runs=10)
    again = outcomes(text)
    assert 0 < again.kept < len(again.runs) - 2
    assert again.runs == outcomes(text, anew=True).runs


@pytest.mark.parametrize(
    "more",
    [
        "INSERT INTO log SELECT random()::int FROM generate_series(1, 2);",
        "INSERT INTO log VALUES (current_date::text);",
        "\\set chance 'random()'\nINSERT INTO log VALUES ((:chance * 0)::text);",
        "UPDATE item SET price = 3 WHERE id = 1;",
        "DELETE FROM plain WHERE v = 'a';",
        "BEGIN; INSERT INTO plain VALUES ('gone'); ROLLBACK;",
        "ANALYZE item;",
        "CREATE INDEX some_sales ON sale (n) WHERE n > 3;",
        "CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM item;",
        "ALTER TABLE sale ENABLE ALWAYS TRIGGER note_sale;",
        "ALTER TABLE plain DROP COLUMN v, ADD COLUMN v text;",
        "DO $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'lock_shared(9)'; END $$;",
        "CREATE TEMP TABLE mine (id int);",
        "DO $$ BEGIN RAISE NOTICE 'told each time'; END $$;",
        "INSERT INTO log VALUES (pg_backend_pid()::text);",
        "CREATE TABLE two (one int, its text); INSERT INTO two VALUES (1, current_schema());",
    ],
)
def test_setup_that_rows_alone_do_not_bring_back_runs_each_time(outcomes: Callable[..., Outcomes], more: str) -> None:
    again = outcomes(_scenario(["UPDATE sale SET n = 1"], ["SELECT 1"], f"{SETUP}{more}\n"))
    assert again.kept == 0
    assert len(again.runs) == _RUNS


_PLACE = "DO $$ BEGIN RAISE NOTICE 'in %', current_database(); END $$"


def _databases(found: Outcomes) -> set[str]:
    """Name the databases in which `_PLACE` was run."""
    return {name for run in found.runs for name in re.findall(r"in (pgchaos_\w+)", str(run))}


def test_a_search_that_leaves_nothing_gives_its_database_to_the_next(
    outcomes: Callable[..., Outcomes], private_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # on a busy machine another would be sooner there
    monkeypatch.setattr(sandbox_provider, "_RESTOCKED_WITHIN", 30.0)
    text = _scenario([ROWS[0], _PLACE], ["SELECT nextval('ticket')"], runs=4)
    private_server.wait_until_idle()
    first, second = outcomes(text), outcomes(text)
    assert len(_databases(first)) == 1
    # its first run finds the same, too
    assert second.runs == first.runs
    private_server.wait_until_idle()
    assert _databases(outcomes(text)).isdisjoint(_databases(first))


@pytest.mark.parametrize(
    "leaves",
    [
        "DO $$ BEGIN EXECUTE format('GRANT CREATE ON ' || 'DATABASE %I TO PUBLIC', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('COMMENT ON ' || 'DATABASE %I IS ''mine''', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER ' || 'DATABASE %I OWNER TO pg_monitor', current_database()); END $$",
        "DO $$ BEGIN EXECUTE 'SELECT lo_' || 'create(0)'; END $$",
        "CREATE TABLE extra (id int)",
    ],
)
def test_the_database_of_a_search_that_defined_something_is_given_to_no_other(
    outcomes: Callable[..., Outcomes], private_server: Server, leaves: str
) -> None:
    private_server.wait_until_idle()
    first, second = (outcomes(_scenario([one, _PLACE], ["SELECT 1"], runs=3)) for one in (leaves, "SELECT 2"))
    assert _databases(first)
    assert _databases(second)
    assert _databases(first).isdisjoint(_databases(second))


def test_a_database_that_was_dropped_meanwhile_is_given_to_no_search(
    outcomes: Callable[..., Outcomes], private_server: Server
) -> None:
    text = _scenario([_PLACE], ["SELECT nextval('ticket')"], runs=3)
    private_server.wait_until_idle()
    (name,) = _databases(outcomes(text))
    with private_server.connect() as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    second = outcomes(text)
    assert second.kept
    assert _databases(second).isdisjoint({name})


def test_a_teardown_has_setup_run_each_time(outcomes: Callable[..., Outcomes]) -> None:
    text = _scenario(["UPDATE sale SET n = 1"], ["SELECT 1"]) + "-- chaos:teardown\nDROP TABLE plain;\n"
    assert outcomes(text).kept == 0


def test_a_run_that_fails_half_way_has_its_schema_replaced(outcomes: Callable[..., Outcomes]) -> None:
    text = _scenario(["UPDATE sale SET n = n + 1 WHERE id = 1"], ["SELECT 1 / (11 - n) FROM sale WHERE id = 1"])
    again = outcomes(text.replace(CODES, ""))
    assert again.runs == outcomes(text.replace(CODES, ""), anew=True).runs
