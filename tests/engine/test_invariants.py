"""Invariants: evaluated before, while and after sessions run."""

from __future__ import annotations

import pytest

from pgchaos.engine import invariant_monitor
from tests.engine.playing import CHECKED, Play, held, line, only
from tests.waiting import until_sql


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no look missed because the machine is busy: those that a lock holds up are missed all the same."""
    monkeypatch.setitem(invariant_monitor.SETTINGS, "statement_timeout", "10min")
    monkeypatch.setattr(invariant_monitor, "_PATIENCE", 60.0)
    # a lock that the last look waits for in these tests is never given back
    monkeypatch.setattr(invariant_monitor, "_FOR_THE_LAST", 0.0)


TORN = f"""
    -- chaos:setup
    CREATE TABLE account (id int PRIMARY KEY, balance int);
    INSERT INTO account VALUES (1, 100), (2, 100);
    CREATE SEQUENCE looks;
    -- chaos:invariant every 5ms
    SELECT sum(balance) = 200 AS "no money is lost" FROM account, nextval('looks');
    -- chaos:session mover
    {{begin}}
    UPDATE account SET balance = balance - 50 WHERE id = 1;
    SELECT setval('looks', 100);
    {until_sql("(SELECT last_value FROM looks) >= 104")}
    UPDATE account SET balance = balance + 50 WHERE id = 2;
    {{commit}}
"""


def test_broken_once_and_whole_at_the_end_it_is_a_failure_and_the_check_runs(play: Play) -> None:
    result = play(TORN.format(begin="", commit="") + CHECKED)
    failure = only(result)
    assert (failure.kind, failure.names) == ("invariant", ("no money is lost",))
    assert "is false" in failure.text
    assert [a.name for a in result.assertions] == ["checked"]
    assert result.evaluations > 3


def test_what_is_not_committed_is_not_seen(play: Play) -> None:
    assert held(play(TORN.format(begin="BEGIN;", commit="COMMIT;") + CHECKED)) == ["checked"]


BROKEN = {
    "false": ("", "SELECT false AS name", ["name"], "is false"),
    "NULL": ("", "SELECT NULL::boolean AS name", ["name"], "is NULL"),
    "no row": ("", "SELECT true AS name WHERE false", ["name"], "returned no row"),
    "one of several rows": ("", "SELECT n > 1 AS name FROM generate_series(1, 3) n", ["name"], "is false"),
    "two of three columns": ("", "SELECT false AS name, true AS fine, false AS other", ["name", "other"], "is false"),
    "a row in spite of may be empty": (" may be empty", "SELECT false AS name", ["name"], "is false"),
    "at end": (" at end", "SELECT false AS name", ["name"], "is false"),
}


@pytest.mark.parametrize(("options", "query", "names", "how"), BROKEN.values(), ids=BROKEN.keys())
def test_every_row_and_column_must_be_true(play: Play, options: str, query: str, names: list[str], how: str) -> None:
    result = play(f"-- chaos:session s\nSELECT 1;\n-- chaos:invariant{options}\n{query};\n{CHECKED}")
    assert [failure.names for failure in result.failures] == [(name,) for name in names]
    assert all(how in failure.text for failure in result.failures)
    assert [a.name for a in result.assertions] == ["checked"]


COMMANDS = """-- chaos:session s
SELECT 1;
-- chaos:invariant
\\set known yes
\\if {condition}
SELECT {value} AS one;
\\else
SELECT {value} AS other;
\\endif
"""


@pytest.mark.parametrize(("condition", "name"), [("1", "one"), ("0", "other"), (":{?known}", "one")])
def test_only_the_branch_that_is_taken_is_evaluated(play: Play, condition: str, name: str) -> None:
    result = play(COMMANDS.format(condition=condition, value="false"))
    assert only(result).names == (name,)
    assert not play(COMMANDS.format(condition=condition, value="true")).failures


def test_what_no_branch_takes_was_not_run(play: Play) -> None:
    text = "-- chaos:session s\nSELECT 1;\n-- chaos:invariant\n\\if 0\nSELECT true AS never;\n\\endif\n"
    failure = only(play(text))
    assert (failure.kind, failure.text) == ("not run", "invariant was not run: its \\if branch was never taken")
    assert line(failure) == 5


@pytest.mark.parametrize("query", [":SERVER_VERSION_NUM > 0", ":known", ":{?known}"])
def test_variables_have_the_values_of_psql_and_of_the_section(play: Play, query: str) -> None:
    text = f"-- chaos:session s\nSELECT 1;\n-- chaos:invariant\n\\set known true\nSELECT {query} AS held;\n"
    assert not play(text).failures


def test_invariants_know_the_variables_of_a_matrix_by_chaos_var(play: Play) -> None:
    head = "-- chaos:matrix level in low, high\n-- chaos:session s\nSELECT :'level';\n"
    result = play(head + "-- chaos:invariant\nSELECT chaos.var('level') = 'low' AS low;\n", level="low")
    assert not result.failures


def test_a_condition_that_is_no_boolean_ends_the_run(play: Play) -> None:
    failure = only(play(COMMANDS.format(condition=":unknown", value="true") + CHECKED))
    assert (failure.kind, line(failure)) == ("error", 5)
    assert "Boolean expected" in failure.text


def test_no_row_holds_where_it_may_be_empty(play: Play) -> None:
    text = "-- chaos:session s\nSELECT 1;\n-- chaos:invariant may be empty\nSELECT true WHERE false;\n"
    assert held(play(text + CHECKED)) == ["checked"]


def test_at_end_it_is_evaluated_only_then(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:invariant at end
        SELECT count(*) = 2 AS "all there" FROM t;
        -- chaos:session s
        INSERT INTO t VALUES (1);
        -- so long that it would be looked at in between
        SELECT pg_sleep(0.1);
        INSERT INTO t VALUES (2);
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    assert result.evaluations == 1


@pytest.mark.parametrize(
    ("query", "names", "words"),
    [
        ("SELECT 1 AS n", (), 'column "n" is not boolean'),
        ("SELECT 1/0 = 1", ("22012", "division_by_zero"), "division by zero"),
        ("SELECT x FROM missing", ("42P01", "undefined_table"), "does not exist"),
        ("SELECT FROM pg_class", (), "returns no column"),
    ],
)
def test_a_query_that_is_wrong_stops_the_run(play: Play, query: str, names: tuple[str, ...], words: str) -> None:
    result = play(f"-- chaos:session s\nSELECT pg_sleep(100);\n-- chaos:invariant\n{query};\n{CHECKED}")
    failure = only(result)
    assert (failure.kind, failure.names) == ("error", names)
    assert words in failure.text
    assert result.assertions == []


def test_a_query_that_goes_wrong_in_the_middle_stops_the_run(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:invariant
        SELECT count(*) >= 0 FROM t;
        -- chaos:session s
        DROP TABLE t;
        SELECT pg_sleep(100);
        """
        + CHECKED
    )
    assert only(result).names == ("42P01", "undefined_table")


LOCKED = """
    -- chaos:setup
    CREATE TABLE t (id int);
    -- chaos:invariant {when}
    SELECT count(*) = 0 AS "nothing there" FROM t;
    -- chaos:session s
    BEGIN;
    LOCK TABLE t IN ACCESS EXCLUSIVE MODE;
    {then}
"""
WAITS = "EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND NOT granted)"


def test_evaluations_that_a_lock_delays_are_counted_and_no_failure(play: Play) -> None:
    given_up = until_sql(WAITS) + until_sql(f"NOT {WAITS}")
    result = play(LOCKED.format(when="every 10ms", then=f"{given_up}COMMIT;") + CHECKED)
    assert held(result) == ["checked"]
    assert 0 < result.missed < result.evaluations


def test_an_invariant_that_could_never_be_evaluated_is_a_failure(play: Play) -> None:
    text = LOCKED.format(when="at end", then="").replace(
        "-- chaos:setup", "-- chaos:leaves open transaction meant\n-- chaos:setup"
    )
    result = play(text + CHECKED)
    failure = only(result)
    assert failure.kind == "invariant"
    assert "could not be evaluated:" in failure.text
    assert result.missed == result.evaluations == 1


def test_an_invariant_that_cannot_be_evaluated_in_the_end_is_a_failure(play: Play) -> None:
    # it was looked at before the sessions, when nothing could have broken it yet
    text = LOCKED.format(when="every 1h", then="INSERT INTO t VALUES (1);").replace(
        "-- chaos:setup", "-- chaos:leaves open transaction meant\n-- chaos:setup"
    )
    result = play(text + CHECKED)
    assert "could not be evaluated after the sessions" in only(result).text
    assert result.evaluations > result.missed


def test_the_observer_reads_committed_whatever_the_database_says(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
        END $$;
        -- chaos:invariant
        SELECT current_setting('transaction_isolation') = 'read committed' AS "read committed";
        -- chaos:session s
        SELECT chaos.assert(current_setting('transaction_isolation') = 'serializable', 'the session obeys');
        """
    )
    assert held(result) == ["the session obeys"]


@pytest.mark.parametrize("every", ["5ms", "60s"])
def test_an_observer_that_somebody_terminates_looks_on(play: Play, every: str) -> None:
    result = play(
        f"""
        -- chaos:setup
        CREATE TABLE t (n int);
        -- chaos:invariant every {every}
        SELECT count(*) < 1 AS "never one" FROM t;
        -- chaos:session s
        SELECT chaos.assert(pg_terminate_backend(pid, 60000), 'terminated') FROM pg_stat_activity
         WHERE application_name = 'invariant' AND datname = current_database();
        INSERT INTO t VALUES (1);
        """
        + CHECKED
    )
    # also where it is its last look that found the connection gone
    assert only(result).names == ("never one",)
    assert result.missed == 0


def test_invariants_alone_are_a_scenario(play: Play) -> None:
    result = play('-- chaos:invariant\nSELECT true AS "it holds";\n')
    assert held(result) == []
    # before and after; with luck at an interval between
    assert result.evaluations >= 2


def test_an_invariant_asks_for_matrix_values(play: Play) -> None:
    text = "-- chaos:matrix wanted in true, false\n-- chaos:invariant\nSELECT :wanted AS as_wanted;\n"
    assert held(play(text, wanted="true")) == []
    assert only(play(text, wanted="false")).names == ("as_wanted",)
