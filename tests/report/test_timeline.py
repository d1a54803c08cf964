"""The columns of a failure: a session each, time downward, and which sessions are shown where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from pgchaos.language.model import Scenario, Section, Session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.report.cells import folded
from pgchaos.report.export.timeline_data import timeline_data
from pgchaos.report.formatting import BOXES, PLAIN, Symbols
from pgchaos.report.important_sessions import written_tables
from pgchaos.report.lanes import lanes_of
from pgchaos.report.timeline import ReportedRun, timeline
from pgchaos.results import Failure, Launch, Record, RunResult
from tests.report.runs import START, row

FILE = "sql/x.sql"


def table(
    records: list[Record],
    *failures: Failure,
    width: int = 80,
    symbols: Symbols = PLAIN,
    check: str = "",
    order: Sequence[Launch] = (),
    **how: bool,
) -> list[str]:
    names = dict.fromkeys(r.session for r in records)
    sessions = tuple(Session(Place(FILE, 1), name, (), ()) for name in names)
    checks = (Section(Place(FILE, 19), (Statement(Place(FILE, 20), check, (), "SELECT", "1"),)),) if check else ()
    scenario = Scenario(Path(FILE), FILE, "x", "", "", sessions=sessions, checks=checks)
    result = RunResult(1, START, records=records, failures=list(failures), order=list(order))
    run = ReportedRun(scenario, {}, result, width, symbols, how.get("everything", False))
    return timeline(run, failures, summary=how.get("summary", False))


def waits(who: str, at: float, on: str, took: float, **more: object) -> Record:
    record = row(who, at, "UPDATE t SET n = 1", took, waited_on=(on,), **more)
    record.waited_from, record.waited_until = record.started_at, record.ended_at
    return record


def test_a_wait_is_a_bar_until_it_ends() -> None:
    records = [row("a", 0.01, "UPDATE t SET n = 2"), waits("b", 0.02, "a[1]", 0.2), row("a", 0.1, "COMMIT")]
    assert table(records, symbols=BOXES)[1:] == [
        "    ms  a[1]                   b[1]",
        "        ─────────────────────  ─────────────────────",
        "  10.0  7: UPDATE t SET n = 2",
        "  20.0                         7: UPDATE t SET n = 1",
        "                               │ waits for a[1]",
        " 100.0  7: COMMIT              │",
        " 220.0                         └─ waited 200 ms",
        "(│ waits for a lock)",
    ]


def test_plain_text_is_ascii() -> None:
    records = [row("a", 0.01, "SELECT " + "x, " * 200), waits("b", 0.02, "a[1]", 0.2), row("a", 0.1, "COMMIT")]
    lines = table(records)
    assert "\n".join(lines).isascii()
    assert any("..." in line for line in lines)
    assert any("+- waited 200 ms" in line for line in lines)


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("sessions", [2, 3, 5, 9])
def test_no_line_is_wider_than_the_terminal(width: int, sessions: int) -> None:
    text = "SELECT '漢字が入る長い文' , " + "abcdefghij " * 20
    records = [
        row(
            f"session_{n}",
            n / 100 + step,
            text,
            0.3,
            sqlstate="40001",
            message="m " * 200,
            waited_on=("a_long_name[1]",),
        )
        for n in range(sessions)
        for step in range(3)
    ]
    lines = table(records, width=width)
    assert max(map(cell_len, lines[1:])) <= width
    # beside one another, where a column has room for a statement
    assert ("  step  " in lines[1]) == (sessions > {80: 3, 120: 4, 200: 9}[width])


def test_what_was_not_sent_is_said_once() -> None:
    never = [row("a", None, skipped=True, sqlstate=None, place=Place(FILE, line)) for line in (8, 9)]
    lines = table([row("a", 0.1, sqlstate="23505", message="duplicate key"), *never, row("b", 0.2)])
    assert [" ".join(line.split()) for line in lines[3:9]] == [
        "100.0 7: SELECT 1",
        "ERROR 23505 unique_violation:",
        "duplicate key",
        "8-9: not sent: its transaction had",
        "already failed",
        "200.0 7: SELECT 1",
    ]


def test_what_never_ended_is_drawn_to_the_end() -> None:
    wait = row("a", 0.1, "-- barrier met", step="", sqlstate=None, ended_at=None)
    running = row("b", 0.2, "SELECT pg_sleep(9)", sqlstate=None, ended_at=None)
    lines = table([wait, running, row("c", 0.3)], width=120)
    assert [line.count(":") - line.count("7:") for line in lines[3:8]] == [0, 1, 2, 1, 1]
    assert "+- never ended" in lines[-4] + lines[-3]
    assert any("+- no answer: it was still running" in line for line in lines)


def test_a_timeline_without_a_wait_says_that_short_ones_are_not_seen() -> None:
    short = "(waits for locks shorter than about 5 ms are not seen)"
    records = [row("a", 0.1), row("b", 0.2)]
    assert table(records)[-1] == short
    assert short not in table([row("a", 0.1), waits("b", 0.2, "a[1]", 0.01)])
    # step by step, each wait is known
    assert short not in table(records, order=[Launch("a", 1, "1", 1), Launch("b", 1, "1", 1)])


def test_a_value_says_more_than_one_row() -> None:
    one: dict[str, Any] = {"rows": 1, "tag": "SELECT 1"}
    texts: list[tuple[dict[str, Any], str]] = [
        ({"cells": (("count",), ("50",)), **one}, "SELECT 1 -> count = 50"),
        ({"cells": (("count",), (None,)), **one}, "SELECT 1 -> count = NULL"),
        ({"cells": (("a", "b"), ("1", "2")), **one}, "SELECT 1 -> a = 1, b = 2"),
        ({"cells": (("a", "b"), ("1", "2" * 40)), **one}, "SELECT 1 -> 1 row"),
        ({"cells": (tuple("abcd"), tuple("1234")), **one}, "SELECT 1 -> 1 row"),
        ({"cells": (("count",), ("50",), ("51",)), **one, "rows": 2}, "SELECT 1 -> 2 rows"),
        (one, "SELECT 1 -> 1 row"),
    ]
    for more, text in texts:
        assert any(line.endswith(f"7: {text}") for line in table([row("a", 0.1, **more), row("b", 0.2)])), text


def test_parameters_are_part_of_the_request_and_not_its_result() -> None:
    returns: dict[str, Any] = {"rows": 1, "tag": "SELECT 1", "parameters": ("$1 = 'click 1'", "$2 = NULL")}
    kept: dict[str, Any] = {"cells": (("key",), ("click 1",))}
    sent = "[$1 = 'click 1', $2 = NULL]"
    both = [row("a", 0.1, **returns), row("b", 0.2, **returns, **kept)]
    lines = table(both, width=150)
    assert any(line.endswith(f"7: SELECT 1 {sent} -> 1 row") for line in lines)
    assert any(line.endswith(f"7: SELECT 1 {sent} -> key = click 1") for line in lines)
    # what is long is cut, and not its parameters and its result
    long = row("a", 0.1, "SELECT " + ", ".join(f"column_{number}" for number in range(30)), **returns)
    text = " ".join(" ".join(line.split()) for line in table([long, row("b", 0.2)], width=80))
    assert f"... {sent} -> 1 row" in text
    assert "[$1 =\n" not in "\n".join(table([long, row("b", 0.2), row("c", 0.3)], width=80))
    # one that waits has its parameters where it begins, and its result where it ends
    lines = table([waits("a", 0.1, "b[1]", 0.3, **returns), row("b", 0.2)], width=150)
    assert any(line.endswith(f"7: UPDATE t SET n = 1 {sent}") for line in lines)
    assert any("waited" in line and "$1" not in line and "1 row" in line for line in lines)


def test_the_line_that_runs_a_program_is_not_that_of_its_statements() -> None:
    own: dict[str, Any] = {"has_line": False}
    records = [
        row("a", 0.1, **own),
        waits("b", 0.2, "a[1]", 0.1, **own),
        row("a", 0.25, "COMMIT", **own),
        row("a", 0.4, skipped=True, **own),
    ]
    lines = table(records)
    assert "(statements as sent):" in lines[0]
    assert lines[3] == " 100.0  SELECT 1"
    assert [line.strip() for line in lines[4:6]] == ["200.0" + 33 * " " + "UPDATE t SET n = 1", "| waits for a[1]"]
    assert lines[4].index("UPDATE") == lines[5].index("|")
    assert "7:" not in "\n".join(lines)
    # what a comment of the program names is its line
    named = row("a", 0.3, place=Place("checkout.py", 12))
    lines = table([*records, named])
    assert "(line: statement as sent):" in lines[0]
    assert lines[1] == "a = checkout.py"
    assert any(line.startswith(" 100.0       SELECT 1") for line in lines)
    assert any(line.startswith(" 300.0  a12: SELECT 1") for line in lines)
    # as in a list
    (head, *rows) = table(records, everything=True)[1:]
    assert head.split() == ["ms", "took", "step", "statement"]
    at = head.index("statement")
    assert [line[at:] for line in rows[:3]] == ["SELECT 1", "UPDATE t SET n = 1", "-> waited for a[1]"]
    (head, *rows) = table([*records, named], everything=True)[1:]
    assert [line.partition("SELECT")[0].split()[-1] for line in rows if "SELECT" in line][:2] == [
        "a[1].1", "checkout.py:12",
    ]  # fmt: skip


def test_a_fault_has_its_moment() -> None:
    records = [
        row("a", 0.1, "COMMIT", 0.02, fault="crash", sqlstate="08006", message="server closed the connection"),
        row("a", 0.105, "-- fault: crash, during line 7", step="", sqlstate=None),
        row("b", 0.3),
    ]
    lines = table(records)
    moments = [
        next(n for n, line in enumerate(lines) if text in line)
        for text in ("COMMIT", "! fault: crash, during line 7", "ERROR")
    ]
    assert moments == sorted(moments)
    assert "120.0  +- ERROR 08006" in lines[moments[2]]
    assert any(line.endswith("7  ! fault: crash, during line 7") for line in table(records, everything=True))
    found = timeline_data(lanes_of(RunResult(1, START, records=records)))["events"]
    assert [event["statement"] for event in found if event["kind"] == "fault"] == ["fault: crash, during line 7"]


def test_files_have_letters() -> None:
    other = row("b", 0.2, place=Place("sql/lib.sql", 3))
    lines = table([row("a", 0.1), other])
    assert lines[1] == "a = sql/lib.sql"
    assert [line.split()[1] for line in lines[4:6]] == ["7:", "a3:"]


def test_the_failed_assertion_ends_the_columns() -> None:
    sold = Failure("assertion", (), "sold once", Place(FILE, 20), ("have: 2", "want: 1"))
    lines = table([row("a", 0.1), row("b", 0.2)], sold)
    assert lines[-1] == "FAILED sql/x.sql:20: sold once (have: 2, want: 1)"
    within = Failure("assertion", (), "never negative", Place(FILE, 7), session="b[1]")
    lines = table([row("a", 0.1), row("b", 0.2)], within)
    assert lines[-2].strip() == "FAILED: never negative"


def many(count: int) -> list[Record]:
    return [row(f"s{n}", n / 100, f"INSERT INTO t{n} VALUES (1)") for n in range(count)]


def test_of_many_sessions_those_are_shown_that_matter() -> None:
    records = many(12)
    records[3] = waits("s3", 0.03, "s9[1]", 0.5)
    records[5].sqlstate, records[5].message = "40001", "no"
    records[7].fault = "kill"
    failed = Failure("assertion", (), "rows", Place(FILE, 20), ("have: 2", "want: 1"))
    lines = table(records, failed, width=200, check="SELECT is(count(*), 1::bigint) FROM public.t11")
    assert lines[1].split()[1:] == ["s0[1]", "s3[1]", "s5[1]", "s7[1]", "s9[1]", "s11[1]"]
    assert "6 more sessions with 6 statements not shown: none of them waited or failed (-v shows all)" in lines
    assert len([line for line in table(records, failed, width=200, everything=True) if "INSERT" in line]) == 11


def queue() -> tuple[list[Record], Failure]:
    """A statement fails that waits for another, which waits for a third; others wait too."""
    records = [
        row("holder", 0.01, "LOCK t"),
        waits("migration", 0.02, "holder[1]", 0.6),
        *(waits("shop", 0.03 + n / 100, "migration[1]", 0.4 + n / 100, worker=n) for n in range(1, 6)),
    ]
    records[6].sqlstate, records[6].message = "55P03", "canceling statement due to lock timeout"
    return records, Failure("error", ("55P03",), "lock timeout", Place(FILE, 7), session="shop[5]")


def test_a_narrow_terminal_shows_the_session_that_failed_and_its_blockers() -> None:
    records, failure = queue()
    lines = table(records, failure)
    assert lines[1].split()[1:] == ["holder[1]", "migration[1]", "shop[5]"]
    assert any("FAILED: ERROR 55P03" in line for line in lines)
    assert "4 more sessions with 4 statements not shown: 4 waited (-v shows all)" in lines
    # the chain of waits is a sentence, too
    assert "shop[5] waited for migration[1], which waited for holder[1]." in lines
    # a wait of which the text is folded keeps its bar
    assert any(line.endswith("  | migration[1]") for line in lines)


def test_who_holds_the_lock_that_a_shown_session_waits_for_is_shown() -> None:
    # the eighth has the lock; each of the others waits for it behind all that came before
    order = [8, 7, 5, 4, 10, 9, 6, 3, 2, 1]
    records = [row("client 8", 0.01, "LOCK t", took=0.2)]
    for place, worker in enumerate(order[1:], 1):
        before = tuple(f"client[{other}]" for other in order[:place])
        records.append(replace(waits("client", 0.02 + place / 1000, "", 0.2, worker=worker), waited_on=before))
    failed = Failure("assertion", (), "rows", Place(FILE, 20))
    lines = table(records, failed, width=80)
    assert lines[1].split()[1:] == ["client[1]", "client[2]", "client[8]"]
    lines = table(records, failed, width=200)
    assert lines[1].split()[1:] == [f"client[{number}]" for number in (1, 2, 3, 4, 5, 8)]


def test_a_narrow_terminal_hides_no_session_that_may_matter() -> None:
    failed = Failure("assertion", (), "rows", Place(FILE, 20))
    lines = table(many(4), failed, check="SELECT is(count(*), 1::bigint) FROM t1, t2, t3, t0")
    assert lines[1].split() == ["ms", "took", "step", "line", "statement"]
    assert all(f"s{n}[1].1" in "\n".join(lines) for n in range(4))


def test_one_session_needs_no_column() -> None:
    assert table([row("a", 0.1)])[1].split() == ["ms", "took", "step", "line", "statement"]


def test_a_long_run_says_what_it_leaves_out() -> None:
    records = [row(f"a {n % 2 + 1}", n / 1000, f"SELECT {n}") for n in range(400)]
    lines = table(records)
    left_out = [int(line.split()[1]) for line in lines if line.endswith(" statements not shown")]
    assert sum(left_out) == 400 - 30
    assert lines[-2:] == ["(-v shows all)", "a: 400 statements, longest 1.0 ms"]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM t", frozenset()),
        ("INSERT INTO s.t VALUES (1)", {"t"}),
        ("UPDATE ONLY t SET a = 1", {"t"}),
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT 1", {"t"}),
        ("ALTER TABLE t ADD a int", {"t"}),
    ],
)
def test_written_tables(sql: str, tables: frozenset[str]) -> None:
    assert tables <= written_tables(sql)
    assert bool(tables) == bool(written_tables(sql))


@pytest.mark.timeout(15)
def test_a_value_of_many_megabytes_is_cut_before_it_is_folded() -> None:
    assert folded("x" * 30_000_000, 12, "3: ", PLAIN, 2) == ["3: " + "x" * 9, "   " + "x" * 6 + "..."]
