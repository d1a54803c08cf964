"""PostgreSQL's three levels against Hermitage's ten cases: what each lets through is found by search.

Reference: Martin Kleppmann, "Hermitage: Testing the I in ACID", and its table for PostgreSQL.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read, variants
from pgchaos.report.level_table import level_finding
from pgchaos.search.strategy import run
from pgchaos.server import Server

CASES = Path(__file__).parent / "hermitage"
LEVELS = ("read committed", "repeatable read", "serializable")
LET_THROUGH = {
    "g0": ("", "", ""),
    "g1a": ("", "", ""),
    "g1b": ("", "", ""),
    "g1c": ("", "", ""),
    "otv": ("", "", ""),
    "pmp": ("phantom", "", ""),
    "p4": ("lost update", "", ""),
    "g_single": ("read skew", "", ""),
    "g2_item": ("write skew", "write skew", ""),
    "g2": ("write skew", "write skew", ""),
}
"""By case, what each level lets through; '' where it prevents the case."""


def test_there_are_all_ten() -> None:
    assert {path.stem for path in CASES.glob("*.sql")} == LET_THROUGH.keys()


@pytest.mark.parametrize("case", LET_THROUGH)
def test_postgresql_lets_through_what_hermitage_says(case: str, private_server: Server) -> None:
    scenario = read(CASES / f"{case}.sql", case)
    found = {}
    for variables in variants(scenario):
        result = run(scenario, variables, private_server, RunSettings(1))
        assert {failure.kind for failure in result.failures} <= {"oracle"}
        assert result.permutations is not None
        assert result.permutations.exhausted
        reported = level_finding(scenario, variables, result)
        assert reported is not None
        found[reported.level] = reported.text.partition("safe in all ")
    assert {level: text for level, (text, _, _) in found.items()} == dict(zip(LEVELS, LET_THROUGH[case], strict=True))
    assert all(text or int(count) > 1 for text, _, count in found.values())
