"""The failure rate with its confidence interval, and where a failed run first differs from one that passed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from pgchaos.language.problems import Place
from pgchaos.report.flakes import Repeats, common_length, failure_rate_interval, flake_lines, rate_line, statement_text
from pgchaos.report.formatting import PLAIN
from pgchaos.results import Record, RunResult


def sent(who: str, at: int, statement: str, **more: object) -> Record:
    record = Record(who, 1, 1, 1, str(at), Place("sql/x.sql", at), statement, rows=1, sqlstate="00000")
    record.started_at, record.ended_at = float(at), at + 0.5
    return replace(record, **more)  # type: ignore[arg-type]  # the fields are the caller's business


@pytest.mark.parametrize(
    ("failed", "runs", "interval"),
    # of R's binom.confint(method = "wilson")
    [
        (0, 20, (0.0, 0.161)),
        (1, 20, (0.0089, 0.236)),
        (10, 20, (0.299, 0.701)),
        (20, 20, (0.839, 1.0)),
        (1, 1, (0.207, 1.0)),
    ],
)
def test_the_interval_of_wilson(failed: int, runs: int, interval: tuple[float, float]) -> None:
    assert failure_rate_interval(failed, runs) == pytest.approx(interval, abs=0.001)


def test_the_rate_in_one_line() -> None:
    assert rate_line(Repeats(20, 20, (1, 2, 3))) == ("3 of 20 runs failed: 15%, with 95 % confidence from 5% to 36%")
    assert rate_line(Repeats(20, 4, ())) == (
        "0 of 4 runs failed (20 were planned): 0%, with 95 % confidence from 0% to 49%"
    )


BEGIN = [sent("a", 1, "BEGIN"), sent("b", 2, "BEGIN")]


def test_two_histories_part_where_order_or_result_differ() -> None:
    passed = [*BEGIN, sent("a", 3, "SELECT n FROM t"), sent("b", 4, "SELECT n FROM t")]
    turned = [*BEGIN, sent("b", 3, "SELECT n FROM t"), sent("a", 4, "SELECT n FROM t")]
    other = [*passed[:3], replace(passed[3], rows=0)]
    assert (common_length(passed, passed), common_length(passed, turned), common_length(passed, other)) == (4, 2, 3)


def test_they_are_shown_side_by_side() -> None:
    passed = [*BEGIN, sent("a", 3, "SELECT :n", sent="SELECT 7", notes=("n = 7",)), sent("a", 4, "COMMIT")]
    failed = [*BEGIN, sent("b", 3, "COMMIT", sqlstate="40001", message="no", rows=None)]
    runs = [RunResult(1, records=passed), RunResult(2, records=failed)]
    repeats = Repeats(9, 9, (2, 2, 5), (4, runs[1]), (3, runs[0]))
    assert flake_lines(repeats, 80, PLAIN) == [
        "Repeated: 3 of 9 runs failed: 33%, with 95 % confidence from 12% to 65%",
        "Seeds of runs that failed: 2, 5",
        "Run 3 passed, run 4 failed. They are the same for 2 statements, then differ:",
        "    run 3, passed                          run 4, failed",
        "    b[1]:2 -> 1 row: BEGIN                 b[1]:2 -> 1 row: BEGIN",
        "  > a[1]:3 -> n = 7: SELECT 7              b[1]:3 -> ERROR 40001: COMMIT",
        "    a[1]:4 -> 1 row: COMMIT                (ended)",
        "Whatever the order, the first with another result:",
        "  > (not sent)                             b[1]:3 -> ERROR 40001: COMMIT",
    ]
    assert len(flake_lines(Repeats(9, 9, (2,), (4, runs[1])), 80, PLAIN)) == 2


def test_parameters_follow_the_statement_and_tell_runs_apart() -> None:
    passed, failed = (sent("a", 3, "SELECT $1", parameters=(f"$1 = '{value}'",)) for value in (7, 8))
    assert common_length([*BEGIN, passed], [*BEGIN, failed]) == 2
    assert statement_text(passed) == "a[1]:3 -> 1 row: SELECT $1 [$1 = '7']"


def test_runs_that_do_not_differ_are_said_to_be_the_same() -> None:
    run = RunResult(1, records=BEGIN)
    lines = flake_lines(Repeats(2, 2, (1,), (2, run), (1, run)), 80, PLAIN)
    assert lines[-1] == "Run 1 passed with the same statements, results and order as run 2, which failed."


def test_a_run_in_which_all_passes_does_not_load_rich() -> None:
    program = (
        "import sys; from pathlib import Path; from pgchaos.runner.jobs import Job;"
        "import pgchaos.pytest_plugin.plugin; from pgchaos.runner.preload import preload;"
        "preload([Job(Path(), '')]); print('pgchaos.runner.repeats' in sys.modules, 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
