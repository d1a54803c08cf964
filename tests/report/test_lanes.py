"""A run as lanes: what is in which lane, what waited for whom and how long, what failed where."""

from __future__ import annotations

import pytest

from pgchaos.language.problems import Place
from pgchaos.report.lanes import Lanes, lanes_of, lock_wait_seconds
from pgchaos.results import STOPPED, Failure, Record, RunResult
from tests.report.runs import START, row


def lanes(*records: Record, failures: tuple[Failure, ...] = (), sessions: tuple[str, ...] = ()) -> Lanes:
    return lanes_of(RunResult(1, START, records=list(records), failures=list(failures)), sessions)


def test_each_connection_has_a_lane_in_the_order_of_the_file() -> None:
    found = lanes(row("b", 0.1), row("a 2", 0.2), row("a 1", 0.3), row("b", 0.4), sessions=("a", "b"))
    assert [lane.name for lane in found.lanes] == ["a[1]", "a[2]", "b[1]"]
    assert [event.begun for event in found.lanes[2].events] == [pytest.approx(0.1), pytest.approx(0.4)]
    assert [found.lanes[event.lane].name for event in found.events] == ["b[1]", "a[2]", "a[1]", "b[1]"]
    assert found.end == pytest.approx(0.401)
    assert found.lane("a[2]") is found.lanes[1]
    assert found.lane("pid 7") is None


def test_what_was_never_sent_follows_its_connection() -> None:
    never = row("a", None, "INSERT 2", skipped=True, sqlstate=None)
    found = lanes(row("a", 0.1, sqlstate="23505", message="duplicate\nkey"), never, row("b", 0.2))
    assert [event.mark for event in found.events] == ["error", "not sent", ""]
    assert found.events[0].text == "ERROR 23505 (unique_violation): duplicate key"
    assert found.events[1].begun is None


def test_a_wait_is_as_long_as_it_was_seen() -> None:
    waited = row("a", 0.2, took=0.5, waited_on=("b[1]",), blocked_by=("pid 7 (autovacuum worker)",))
    waited.waited_from, waited.waited_until = START + 0.3, START + 0.6
    (event,) = lanes(waited).events
    assert event.wait is not None
    assert event.wait.on == ("b[1]", "pid 7 (autovacuum worker)")
    assert [event.wait.since, event.wait.until] == pytest.approx([0.3, 0.6])
    assert lock_wait_seconds(waited) == pytest.approx(0.3)


def test_a_wait_that_nobody_timed_is_its_statement() -> None:
    waited = row("a", 0.2, took=0.5, blocked_by=("pid 7, which waits for b[1]",))
    assert lock_wait_seconds(waited) == pytest.approx(0.5)


def test_a_statement_that_did_not_wait_has_no_wait() -> None:
    assert lanes(row("a", 0.2)).events[0].wait is None
    assert lock_wait_seconds(row("a", 0.2)) == 0.0


def test_marks_and_kinds() -> None:
    acts = [
        "-- barrier looked",
        "-- fault: kill, during line 7",
        "-- ROLLBACK by pgchaos",
        "-- wait blocked b",
        "-- signal s",
    ]
    found = lanes(*(row("a", n / 10, text, step="", sqlstate=None) for n, text in enumerate(acts)))
    assert [event.kind for event in found.events] == ["wait", "fault", "act", "wait", "act"]
    assert {event.mark for event in found.events} == {""}
    states = [
        row("a", 0.1, "COMMIT", tag="ROLLBACK"),
        row("a", 0.2, sqlstate=None, ended_at=None),
        row("a", 0.3, sqlstate="57014", message=STOPPED),
        row("a", 0.4, sqlstate="57014", message="x", ended_by="cancelled by admin[1]", fault="cancel"),
    ]
    found = lanes(*states)
    assert [event.mark for event in found.events] == ["rolled back", "no answer", "stopped", "error"]
    assert (found.events[3].text, found.events[3].fault) == ("cancelled by admin[1]", "cancel")


def test_a_failure_belongs_to_the_last_statement_at_its_line() -> None:
    long = "SELECT\n 1/0"
    error = Failure("error", ("22012",), "division by zero", Place("sql/x.sql", 8), session="a[1]")
    check = Failure("assertion", (), "sold once", Place("sql/x.sql", 8))
    found = lanes(row("a", 0.1, long), row("a", 0.2, long), row("b", 0.3, long), failures=(error, check))
    assert [event.failures for event in found.events] == [(), (error,), ()]
    assert found.failures == (check,)


def test_the_statement_is_shown_as_sent() -> None:
    found = lanes(row("a", 0.1, "SELECT\n  :n", sent="SELECT\n  7"), row("a", 0.2, "SELECT\n  8"))
    assert [event.sent for event in found.events] == ["SELECT 7", "SELECT 8"]
