from __future__ import annotations

from pathlib import Path

from pgchaos.isolation.blocked import SeenSession, is_blocked_for_good
from pgchaos.isolation.concurrent_specs import Need, names_database, needs, roles, sees_the_server
from pgchaos.isolation.expected import differences, expected_path, nearest, read_expected
from pgchaos.isolation.grammar import read
from pgchaos.isolation.model import Spec
from pgchaos.isolation.reuse import calls_need_reset, needs_reset, sees_others, set_up_together, unchanged_connections
from pgchaos.runner.jobs import Job
from pgchaos.runner.specs import longest_specs_first, spec_job

OUTPUT = (
    "Parsed test spec with 1 sessions\n"
    "\nstarting permutation: a b\nstep a: 1\nstep b: 2\n"
    "\nstarting permutation: b a\nstep b: 2\n"
)


def test_blocked_by_the_idle_and_the_blocked_is_blocked_for_good() -> None:
    idle = {1: SeenSession(True, {9})}
    assert is_blocked_for_good(1, idle, {1})
    assert is_blocked_for_good(1, {1: SeenSession(True, {2}), 2: SeenSession(True, {3})}, {1, 2})
    assert is_blocked_for_good(1, {1: SeenSession(True, {2}), 2: SeenSession(True, {1})}, {1, 2})


def test_blocked_by_one_that_runs_is_not() -> None:
    assert not is_blocked_for_good(1, {1: SeenSession(True, {2}), 2: SeenSession(False)}, {1, 2})
    assert not is_blocked_for_good(
        1, {1: SeenSession(True, {2}), 2: SeenSession(True, {3}), 3: SeenSession(False)}, {1, 2, 3}
    )
    # it was launched after the look
    assert not is_blocked_for_good(1, {1: SeenSession(True, {2})}, {1, 2})
    assert not is_blocked_for_good(1, {1: SeenSession(False)}, {1})


def test_what_lasts_as_long_as_a_session(tmp_path: Path) -> None:
    for sql in ("SET a = 1", "BEGIN; SET a = 1", "LISTEN x", "PREPARE p AS SELECT 1", "DO $$ $$", "/**/;\n LOAD 'x'"):
        assert needs_reset(sql), sql
    for sql in (
        "UPDATE t SET a = 1",
        "BEGIN; SET LOCAL a = 1; SET TRANSACTION READ ONLY",
        "PREPARE TRANSACTION 'x'",
        "INSERT INTO t VALUES ('; SET a = 1') ON CONFLICT (a) DO UPDATE SET a = 1",
        "MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING",
    ):
        assert not needs_reset(sql), sql
    step = "session a step a1 {{ {0}; }} # it's a comment; SET a = 1\n"
    function = "setup {{ CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {0}; END $$; }} "
    for body in ("SET a = 1", "-- why\nSET a = 1", "IF true THEN EXECUTE 'SELECT 1'; END IF"):
        assert calls_need_reset(_spec(tmp_path, function.format(body) + step.format("SELECT f()"))), body
    assert calls_need_reset(_spec(tmp_path, step.format("SELECT pg_advisory_lock(1)")))
    assert not calls_need_reset(_spec(tmp_path, function.format("UPDATE t SET a = 1") + step.format("SELECT f()")))
    assert not calls_need_reset(_spec(tmp_path, step.format("SET a = 1")))


def test_what_specs_share_on_a_server() -> None:
    source = "CREATE ROLE Ada; create user \"Bob B\"; CREATE USER MAPPING FOR x; PREPARE TRANSACTION 's1'; SERIALIZABLE"
    assert needs(source) == [
        Need("prepared s1"),
        Need("role Bob B"),
        Need("role ada"),
        Need("serializable", shared=True),
    ]
    assert roles(source) == ["Bob B", "ada"]
    assert needs("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE") == [Need("serializable")]
    assert needs("SELECT 1") == []


def test_what_looks_at_the_whole_server_is_alone(tmp_path: Path) -> None:
    for source in (
        "SELECT FROM pg_stat_activity",
        "SELECT count(*) FROM pg_catalog.PG_LOCKS;",
        "SELECT xact_commit FROM pg_stat_database",
        "SELECT gid FROM pg_prepared_xacts",
        "SELECT slot_name FROM pg_replication_slots",
        "SELECT pg_stat_get_activity(NULL)",
    ):
        assert sees_the_server(source), source
    for source in ("SELECT FROM pg_stat_user_tables", "SELECT my_pg_locks", "SELECT pg_stat_get_numscans(1)"):
        assert not sees_the_server(source), source
    steps = "session a step a1 {{ SELECT 1; }} step a2 {{ SELECT count(*) FROM {0}; }}"
    assert spec_job(_spec(tmp_path, steps.format("pg_locks")), None, accept=False).alone
    assert not spec_job(_spec(tmp_path, steps.format("t")), None, accept=False).alone


def test_what_names_its_database() -> None:
    for source in ("isolation_regression", "SELECT current_database()", "SELECT CURRENT_CATALOG", "FROM pg_database"):
        assert names_database(source), source
    for source in ("SELECT FROM pg_catalog.pg_class", "SELECT current_user"):
        assert not names_database(source), source


def test_long_specs_begin_first_and_before_them_what_many_wait_for(tmp_path: Path) -> None:
    steps = "setup { SELECT 1; } session a step a1 { SELECT 1; } step a2 { SELECT 2; } session b step b1 { SELECT 3; } "
    texts = {
        "short": steps + "permutation a1 a2 b1",
        "long": steps.replace("SELECT 1; }", "SELECT generate_series(1, 90000); }", 1),
        "all": steps,
        "alone": steps + "permutation a1 # READ ONLY DEFERRABLE, SERIALIZABLE",
    }
    jobs: dict[str, Job] = {}
    for name, text in texts.items():
        path = tmp_path / f"{name}.spec"
        path.write_text(text, encoding="utf-8")
        jobs[name] = spec_job(read(path), None, accept=False)
    other = Job(Path("other.sql"), "other")
    assert list(longest_specs_first({"other": other, **jobs})) == ["other", "alone", "long", "all", "short"]


def _spec(folder: Path, text: str) -> Spec:
    path = folder / "x.spec"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_sessions_that_leave_nothing_behind_serve_another_spec(tmp_path: Path) -> None:
    spec = (
        "setup {{ CREATE TABLE t (); }} session a step a1 {{ {0} }} session b setup {{ BEGIN; }} step b1 {{ COMMIT; }}"
    )
    assert unchanged_connections(_spec(tmp_path, spec.format("SELECT 1;"))) == (True, True, True)
    assert unchanged_connections(_spec(tmp_path, spec.format("SET a = 1;"))) == (True, False, True)
    assert unchanged_connections(_spec(tmp_path, spec.format("SELECT pg_advisory_lock(1);"))) == (False, False, False)
    for source in ("SELECT FROM pg_stat_activity", "CREATE EXTENSION x", "ALTER DATABASE x SET y = 1"):
        assert sees_others(source), source
    assert not sees_others("SELECT FROM t")


def test_sessions_that_only_begin_are_set_up_early(tmp_path: Path) -> None:
    spec = "session a setup {{ {0} }} step a1 {{ {1} }} session b step b1 {{ SELECT; }}"
    for setup in (
        "BEGIN;",
        "begin isolation level serializable, read only deferrable",
        "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ WRITE; SET deadlock_timeout = '10ms';",
        "SET LOCAL enable_seqscan TO off; SET enable_sort=on",
    ):
        assert set_up_together(_spec(tmp_path, spec.format(setup, "SELECT 1;"))) == (0,), setup
        assert set_up_together(_spec(tmp_path, spec.format(setup, "SELECT now();"))) == (), setup
    for setup in (
        "SELECT 1;",
        "BEGIN; SELECT 1;",
        "BEGIN; SET ROLE x;",
        "SET search_path = x;",
        "BEGINNING;",
        "LOCK t;",
    ):
        assert set_up_together(_spec(tmp_path, spec.format(setup, "SELECT 1;"))) == (), setup


def test_where_expected_output_lies(tmp_path: Path) -> None:
    assert expected_path(tmp_path / "specs/x.spec") == tmp_path / "expected/x.out"
    assert expected_path(tmp_path / "y.spec") == tmp_path / "expected/y.out"
    (tmp_path / "expected").mkdir()
    (tmp_path / "expected/x_1.out").write_bytes(b"\xff\r\n")
    found = read_expected(tmp_path / "specs/x.spec")
    assert [(one.path.name, one.text) for one in found] == [("x_1.out", "\udcff\n")]


def test_differences_are_reported_by_permutation() -> None:
    (one,) = differences(OUTPUT.replace("b: 2", "b: 3", 1), OUTPUT)
    assert (one.number, one.steps, one.line) == (1, "a b", 5)
    assert [line for line in one.lines if line[0] in "+-"] == ["-step b: 2", "+step b: 3"]
    assert differences(OUTPUT, OUTPUT) == []


def test_what_stands_before_the_first_permutation_is_compared_too() -> None:
    (one,) = differences("unused step name: c\n" + OUTPUT, OUTPUT)
    assert (one.number, one.line) == (0, 1)
    assert "+unused step name: c" in one.lines


def test_a_permutation_too_many_is_one_difference() -> None:
    more = OUTPUT + "\nstarting permutation: a a\nstep a: 1\n"
    assert [(one.number, one.steps) for one in differences(more, OUTPUT)] == [(3, "a a")]
    assert [one.steps for one in differences(OUTPUT, more)] == ["a a"]


def test_the_nearest_of_several_is_compared(tmp_path: Path) -> None:
    folder = tmp_path / "expected"
    folder.mkdir()
    (folder / "x.out").write_text("other\nand other\n", encoding="utf-8")
    (folder / "x_0.out").write_text(OUTPUT, encoding="utf-8")
    near, found = nearest(OUTPUT, read_expected(tmp_path / "specs/x.spec"))
    assert (near.path.name, found) == ("x_0.out", [])
