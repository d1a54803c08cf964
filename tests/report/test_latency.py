"""The latency of each statement of a free run, as pgbench reports it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgchaos.language.header_model import Schedule
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.report.formatting import PLAIN
from pgchaos.report.latency import latencies, latency_data, latency_lines
from pgchaos.report.text import run_text
from pgchaos.report.timeline import ReportedRun
from pgchaos.results import Record, RunResult

START = 1000.0


def sent(number: int, took: float, statement: str = "UPDATE t", **more: object) -> Record:
    record = Record("shop", 1 + number % 2, number, 1, "1", Place("sql/x.sql", 7), statement, sqlstate="00000")
    record.started_at, record.ended_at = START + number, START + number + took
    return replace(record, **more)  # type: ignore[arg-type]  # the fields are the caller's business


def test_one_row_sums_up_all_connections_of_a_session() -> None:
    records = [sent(number, number / 1000) for number in range(1, 41)]
    records[3].attempt, records[7].sqlstate = 2, "40001"
    waited = records[9]
    waited.waited_on, waited.waited_from, waited.waited_until = ("shop[2]",), START + 10, START + 10.004
    (latency,) = latencies(records)
    assert (latency.count, latency.failed, latency.retries, latency.waits) == (40, 1, 1, 1)
    assert [latency.mean, latency.p95, latency.longest, latency.waited] == pytest.approx([0.0205, 0.038, 0.04, 0.004])


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (2, 2), (19, 19), (20, 19), (21, 20), (100, 95)])
def test_p95_is_the_nearest_rank(count: int, rank: int) -> None:
    (latency,) = latencies([sent(1, number / 1000) for number in range(1, count + 1)])
    assert latency.p95 == pytest.approx(rank / 1000)


def test_what_was_not_answered_is_not_counted() -> None:
    never, running = sent(1, 0.1, started_at=None, ended_at=None, skipped=True), sent(2, 0.1, ended_at=None)
    act = sent(3, 0.1, "-- barrier met", step="")
    assert latencies([never, running, act]) == []


def test_the_table_of_a_free_run() -> None:
    records = [*(sent(number, 0.002) for number in range(1, 4)), sent(4, 0.25, "COMMIT", place=Place("sql/x.sql", 9))]
    assert latency_lines(records, 76, PLAIN) == [
        "session  line  count   mean    p95  longest  waited  retries  statement",
        "shop        7      3    2.0    2.0      2.0       -        0  UPDATE t",
        "shop        9      1  250.0  250.0    250.0       -        0  COMMIT",
    ]
    assert latency_lines(records[2:], 76, PLAIN) == []
    scenario = Scenario(Path("sql/x.sql"), "sql/x.sql", "x", "", "")
    result = RunResult(1, START, records=records)
    assert "\nLatency in ms, " in run_text(ReportedRun(scenario, {}, result))
    stepped = replace(scenario, schedule=Schedule("all"))
    assert "Latency" not in run_text(ReportedRun(stepped, {}, result))


def test_the_same_as_data() -> None:
    (row,) = latency_data([sent(1, 0.0015), sent(2, 0.0025)])
    assert row == {
        "session": "shop",
        "line": "sql/x.sql:7",
        "count": 2,
        "mean_ms": 2.0,
        "p95_ms": 2.5,
        "longest_ms": 2.5,
        "waits": 0,
        "waited_ms": 0,
        "retries": 0,
        "failed": 0,
        "statement": "UPDATE t",
    }
