"""The rows that a timeline is drawn in, and which events a picture of a long run shows."""

from __future__ import annotations

from pgchaos.language.problems import Place
from pgchaos.report.export.choose_events import choose
from pgchaos.report.export.svg import label
from pgchaos.report.export.timeline_data import Box, rows_of
from pgchaos.results import RunResult
from tests.report.runs import START, queue, row_ms, timeline


def test_what_waits_is_as_high_as_all_that_happens_meanwhile() -> None:
    events = {event["statement"][:6]: event for event in timeline(queue())["events"]}
    assert (events["BEGIN"]["row"], events["BEGIN"]["until"]) == (0, 1)
    # the ALTER ends after the COMMIT, the SELECT that waited for it before
    assert (events["ALTER "]["row"], events["ALTER "]["until"]) == (2, 5)
    assert (events["SELECT"]["row"], events["SELECT"]["until"]) == (3, 4)
    assert events["ALTER "]["wait"]["lanes"] == [0]


def test_the_line_that_runs_a_program_is_written_where_it_starts() -> None:
    records = [
        row_ms("a", 1, "-- starts python shop.py", step="", has_line=False),
        row_ms("a", 2, has_line=False),
        row_ms("a", 3, place=Place("shop.py", 12)),
    ]
    events = timeline(RunResult(1, started_at=START, records=records))["events"]
    assert [(event.get("file"), event.get("line")) for event in events] == [
        ("sql/x.sql", 7), (None, None), ("shop.py", 12),
    ]  # fmt: skip
    assert [label(event, "sql/x.sql")[0] for event in events] == [
        "7: -- starts python shop.py", "SELECT 1", "shop.py:12: SELECT 1",
    ]  # fmt: skip


def test_remarks_say_what_happened_and_what_was_slow() -> None:
    records = [
        row_ms("s", 1, rows=1, cells=(("a", "b"), ("1", None))),
        row_ms("s", 2, rows=3, cells=(("a",), ("1",), ("2",), ("3",))),
        row_ms("s", 3, took=250.0, rows=1, notes=("seen = 7",)),
        row_ms("s", 300, rows=1, parameters=("$1 = '7'", "$2 = NULL")),
        row_ms("s", 400, sqlstate="23505", message="duplicate key", fault="terminate", took=99.0),
    ]
    events = timeline(RunResult(1, started_at=START, records=records))["events"]
    assert [event["remarks"] for event in events] == [
        ["a = 1, b = NULL"],
        ["3 rows"],
        ["took 250 ms", "seen = 7"],
        ["[$1 = '7', $2 = NULL] -> 1 row"],
        ["ERROR 23505 (unique_violation): duplicate key", "fault: terminate"],
    ]


def test_no_box_covers_the_next_one_of_its_connection() -> None:
    # what was never sent has the time of what was before it
    boxes = [Box(0, 1.0, 9.0, 1), Box(0, None, None, 1), Box(1, 2.0, None, 3), Box(0, 9.0, 9.5, 1)]
    rows = rows_of(boxes)
    assert rows.spans == ((0, 1), (1, 2), (2, 4), (3, 4))
    # the third has the room of two rows
    assert rows.heights == (1, 1, 2, 1)


def test_transactions_end_where_they_end_and_where_an_error_ended_them() -> None:
    records = [
        row_ms("s", 1, "BEGIN", tag="BEGIN"),
        row_ms("s", 2, sqlstate="40001"),
        row_ms("s", 0, "COMMIT", started_at=None, ended_at=None, skipped=True, sqlstate=None),
        row_ms("s", 4, "BEGIN", tag="BEGIN"),
        row_ms("s", 5, "COMMIT", tag="COMMIT"),
        row_ms("s", 6),
        row_ms("s", 7, "BEGIN", tag="BEGIN"),
        row_ms("s", 8, "COMMIT", sqlstate="08006"),
        row_ms("s", 9, "BEGIN", tag="BEGIN"),
        row_ms("s", 10),
    ]
    got = timeline(RunResult(1, started_at=START, records=records))
    blocks = [(one["first"], one["last"]) for one in got["transactions"]]
    assert blocks == [(0, 2), (3, 4), (6, 7), (8, 9)]


def test_a_picture_of_a_long_run_shows_what_explains_it() -> None:
    records = [row_ms(f"s{number % 10}", number, f"SELECT {number}") for number in range(1000)]
    records[777].waited_on = ("s9[1]",)
    records[500].sqlstate, records[500].message = "40001", "could not serialize"
    chosen = choose(timeline(RunResult(1, started_at=START, records=records)))
    shown = [event["statement"] for event in chosen.events]
    assert {"SELECT 777", "SELECT 500", "SELECT 776"} & set(shown) >= {"SELECT 777", "SELECT 500"}
    assert len(shown) == 40
    # s7 waits, s9 is waited for, s0 has the error
    assert {lane["session"] for lane in chosen.lanes} >= {"s7", "s9", "s0"}
    assert chosen.hidden_lanes == 4
    assert sum(count for _, count in chosen.gaps) == 600 - 40
