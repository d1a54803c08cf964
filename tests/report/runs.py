"""Data of runs for the tests of what is written: made by hand, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pgchaos.language.problems import Place
from pgchaos.report.export.timeline_data import Data, timeline_data
from pgchaos.report.lanes import lanes_of
from pgchaos.results import Failure, Record, RunResult

START = 1000.0
HOSTILE = "SELECT '</script><script>window.hacked = 1</script><!--', '<img src=x onerror=\"window.hacked = 2\">'"


def row_ms(session: str, at: float, statement: str = "SELECT 1", took: float = 1.0, **more: Any) -> Record:  # noqa: ANN401  # its fields
    """A statement of a session; times in milliseconds of the run."""
    more.setdefault("place", Place("sql/x.sql", more.pop("line", 7)))
    return row(session, at / 1000, statement, took / 1000, **more)


def row(who: str, at: float | None, statement: str = "SELECT 1", took: float = 0.001, **more: Any) -> Record:  # noqa: ANN401  # its fields
    """A statement of a session and its worker, sent at this second of the run or never."""
    session, _, worker = who.partition(" ")
    plain = Record(session, int(worker or 1), 1, 1, "1", Place("sql/x.sql", 7), statement, sqlstate="00000")
    if at is not None:
        plain.started_at, plain.ended_at = START + at, START + at + took
    return replace(plain, **more)


def queue() -> RunResult:
    """A reader waits for a migration that waits for a report."""
    records = [
        row_ms("report", 1, "BEGIN", tag="BEGIN"),
        row_ms("report", 3, "SELECT sum(total) FROM orders", rows=1, tag="SELECT 1", cells=(("sum",), ("30",))),
        row_ms(
            "migration", 5, "ALTER TABLE orders ADD COLUMN note text", 50, waited_on=("report[1]",), tag="ALTER TABLE"
        ),
        row_ms(
            "reader",
            10,
            HOSTILE,
            20,
            line=9,
            waited_on=("migration[1]",),
            sqlstate="55P03",
            message="canceling statement due to lock timeout",
        ),
        row_ms("report", 40, "COMMIT", tag="COMMIT"),
    ]
    failure = Failure("error", ("55P03",), "ERROR 55P03", Place("sql/x.sql", 9), session="reader[1]")
    return RunResult(1, started_at=START, records=records, failures=[failure])


def timeline(result: RunResult) -> Data:
    """The timeline of a run, its sessions in the order in which they began."""
    return timeline_data(lanes_of(result, dict.fromkeys(record.session for record in result.records)))


def scenario(number: int = 0, result: RunResult | None = None, **more: Any) -> Data:  # noqa: ANN401  # its fields
    """The data of a scenario."""
    name = f"x{number}"
    return {
        "id": f"sql/{name}.sql::{name}",
        "name": name,
        "title": f"Scenario {number}",
        "verdict": "failed",
        "file": f"sql/{name}.sql",
        "line": 9,
        "seconds": 0.1,
        "timeline": timeline(queue() if result is None else result),
        "failures": [{"kind": "error", "text": "ERROR 55P03", "file": "sql/x.sql", "line": 9, "session": "reader[1]"}],
        **more,
    }
