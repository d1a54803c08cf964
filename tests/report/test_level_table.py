from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.header_model import Matrix, Schedule
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.report.level_table import LevelFinding, level_finding, level_table
from pgchaos.results import Explored, OracleResult, Permutations, RunResult

AT = Place("t.sql", 1)
LEVELS = Matrix(AT, "level", ("low", "high"))


def scenario(kind: str = "all") -> Scenario:
    assert kind in ("all", "free", "exact", "explore")
    return Scenario(
        Path("t.sql"),
        "t.sql",
        "t",
        "",
        "",
        matrix=(LEVELS, Matrix(AT, "size", ("1", "2"))),
        schedule=Schedule(kind),  # type: ignore[arg-type]  # one of the literals, as asserted
        oracle="serializable",
    )


@pytest.mark.parametrize(
    ("kind", "result", "text"),
    [
        ("all", RunResult(1, permutations=Permutations(1200, 0, True)), "safe in all 1,200"),
        ("all", RunResult(1, permutations=Permutations(20, 0, False)), "safe in 20"),
        ("exact", RunResult(1), "safe in this order"),
        ("free", RunResult(1), "safe in 1 run"),
        ("explore", RunResult(1, explored=Explored(6, 6, True, 3)), "safe in all 6"),
        (
            "explore",
            RunResult(1, explored=Explored(50, 40, False, 1, 25, 0.0712)),
            "safe in 50, missed with probability 0.071 at depth 2",
        ),
        ("free", RunResult(1, drawn=9), "safe in 1 run, for 9 values"),
    ],
)
def test_safe_is_reported_with_its_coverage(kind: str, result: RunResult, text: str) -> None:
    result.judged = OracleResult()
    found = level_finding(scenario(kind), {"level": "high"}, result)
    assert found == LevelFinding("t.sql", "high", text, 1)


@pytest.mark.parametrize(
    ("judged", "text"),
    [
        (OracleResult(("lost update", "read skew"), decided=False), "lost update, read skew"),
        (OracleResult(decided=False), "not decided"),
    ],
)
def test_an_anomaly_ranks_above_not_decided_and_that_above_safe(judged: OracleResult, text: str) -> None:
    found = level_finding(
        scenario(), {"level": "low"}, RunResult(1, judged=judged, permutations=Permutations(9, 0, True))
    )
    assert found is not None
    assert found.text == text


def test_another_matrix_has_rows_of_its_own() -> None:
    found = level_finding(scenario("free"), {"size": "2", "level": "low"}, RunResult(1, judged=OracleResult()))
    assert found is not None
    assert found.scenario == "t.sql [size=2]"


def test_there_is_no_finding_without_an_oracle_or_a_level() -> None:
    assert level_finding(scenario(), {"level": "low"}, RunResult(1)) is None
    assert level_finding(scenario(), {"size": "2"}, RunResult(1, judged=OracleResult())) is None


def test_rows_are_sorted_by_name_and_columns_as_the_matrix() -> None:
    cells = [
        LevelFinding("b.sql", "high", "safe", 1),
        LevelFinding("b.sql", "low", "write skew", 0),
        LevelFinding("a.sql", "high", "safe", 1),
    ]
    assert [LevelFinding.loads(one.dumps()) for one in cells] == cells
    assert level_table(cells) == [
        "oracle serializable  low         high",
        "a.sql                            safe",
        "b.sql                write skew  safe",
    ]
    assert level_table([]) == []
