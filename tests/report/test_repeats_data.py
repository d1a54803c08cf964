"""A repeated scenario as data: its failure rate, and where the two histories first differ."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from pgchaos.report.export.document import SCHEMA
from pgchaos.report.export.scenario_data import repeats_data
from pgchaos.report.flakes import Repeats
from pgchaos.results import RunResult
from tests.report.runs import START, row_ms


def run(*statements: str) -> RunResult:
    records = [row_ms("s", number, text, rows=1) for number, text in enumerate(statements)]
    return RunResult(1, started_at=START, records=records)


def test_the_histories_begin_shortly_before_they_part() -> None:
    common = [f"SELECT {number}" for number in range(10)]
    passing, failing = run(*common, "COMMIT", "SELECT 1"), run(*common, "ROLLBACK")
    found = repeats_data(Repeats(20, 10, (7, 7, 8), (3, failing), (5, passing)))
    assert (found["planned"], found["runs"], found["failed"], found["seeds"]) == (20, 10, 3, [7, 8])
    assert 0 < found["low"] < 0.3 < found["high"] < 1
    parts = found["parts"]
    assert (parts["same"], parts["from"], parts["failed_run"], parts["passed_run"]) == (10, 7, 3, 5)
    assert [text.rpartition(" ")[2] for text in parts["failed"]] == ["7", "8", "9", "ROLLBACK"]
    assert len(parts["passed"]) == 5
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator({"$ref": "#/$defs/repeats", "$defs": schema["$defs"]}).validate(found)


def test_without_repeats_there_is_nothing() -> None:
    assert repeats_data(None) == {}
    assert "parts" not in repeats_data(Repeats(4, 4, ()))
