"""What the end of a run says of all scenarios, from their reports."""

from __future__ import annotations

from types import SimpleNamespace

from pgchaos.pytest_plugin.terminal import note_lines, skipped_lines, slowest_lines, summary


def report(nodeid: str, seconds: float | None = None, **more: object) -> SimpleNamespace:
    return SimpleNamespace(nodeid=nodeid, chaos_seconds=seconds, **more)


def test_the_three_slowest_are_named_once() -> None:
    reports = [report(f"sql/{n}.sql::{n}", n / 2) for n in range(8)]
    # an assertion's report is of the same item, and a test in Python has no time of a scenario
    reports += [report("sql/7.sql::7"), SimpleNamespace(nodeid="test_x.py::test_x")]
    assert slowest_lines(reports) == [
        "slowest: 3.5 s sql/7.sql::7",
        "slowest: 3.0 s sql/6.sql::6",
        "slowest: 2.5 s sql/5.sql::5",
    ]


def test_nothing_is_slow_where_all_are_quick_or_one_ran_alone() -> None:
    assert slowest_lines([report("a", 0.9), report("b", 0.8)]) == []
    assert slowest_lines([report("a", 90.0)]) == []
    assert summary({"passed": [report("a", 9.0), report("b", 8.0)]}, durations=True) == []


def test_reasons_of_skips_have_counts() -> None:
    skipped = [report(f"sql/{n}.sql::{n}", longrepr=("", 1, "Skipped: no hypothesis\nmore")) for n in "ab"]
    python = SimpleNamespace(nodeid="tests/test_x.py::test_x", longrepr=("", 1, "Skipped: not on Mondays"))
    needs = SimpleNamespace(nodeid="tests/test_y.py::test_y", longrepr=("", 1, "Skipped: requires extension x"))
    assert skipped_lines([*skipped, python, needs]) == [
        "skipped: 2 in sql: no hypothesis",
        "skipped: 1 in tests: requires extension x",
    ]


def test_a_note_of_many_files_is_said_once() -> None:
    notes = [f"sql/{n}.sql:4: nothing makes them meet" for n in "abcde"]
    assert note_lines([*notes, notes[0], "sql/x.sql:2: another", "without a place"]) == [
        "note: in 5 places: nothing makes them meet (sql/a.sql:4, sql/b.sql:4, sql/c.sql:4, and 2 more)",
        "note: sql/x.sql:2: another",
        "note: without a place",
    ]
