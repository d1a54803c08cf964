"""The page for application developers is true: its program fails and is repaired as it says, its scenarios pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgchaos.server.pooler import find_pooler
from tests.engine.playing import Play, held

PAGE = (Path(__file__).parents[2] / "sql/APPLICATIONS.md").read_text(encoding="utf-8")
PROGRAM, TEST = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SELL, MUTANT, PAYMENT, POOLED = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FEW = "explore 8"
"""Of the interleavings: a program takes long to start."""


def test_the_program_sells_the_seat_twice(play: Play) -> None:
    (play.folder / "sell.py").write_text(PROGRAM, encoding="utf-8")
    result = play(SELL.replace("explore 50", FEW))
    assert [failure.text for failure in result.failures] == ["one ticket for the seat"]


def test_with_the_lock_it_does_not_and_the_mutant_runs_the_old_program(play: Play) -> None:
    repaired = PROGRAM.replace('WHERE id = 1").fetchone()', 'WHERE id = 1 FOR UPDATE").fetchone()')
    assert repaired != PROGRAM
    (play.folder / "sell.py").write_text(repaired, encoding="utf-8")
    assert held(play(SELL.replace("explore 50", "explore 3"))) == ["one ticket for the seat"]
    (play.folder / "sell_before.py").write_text(PROGRAM, encoding="utf-8")
    (session,) = re.findall(r"^-- chaos:session .*\n", MUTANT, re.MULTILINE)
    (own,) = re.findall(r"^-- chaos:session .*\n", SELL, re.MULTILINE)
    result = play(SELL.replace("explore 50", FEW).replace(own, session))
    assert [f"-- chaos:caught by '{failure.text}'" for failure in result.failures] == MUTANT.splitlines()[-1:]


def test_the_payment_is_made_once(play: Play) -> None:
    assert held(play(PAYMENT)) == ["one payment"]


@pytest.mark.skipif(not find_pooler(), reason="PgBouncer is not installed: apt-get install pgbouncer")
def test_the_temporary_table_is_gone(play: Play) -> None:
    assert held(play(POOLED)) == ["bob begins with an empty table"]
    result = play(POOLED.replace(" ON COMMIT DROP", ""))
    assert [failure.names for failure in result.failures] == [("42P07", "duplicate_table")]


def test_the_function_fails_with_a_unique_violation(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    repaired = TEST.replace(
        "INSERT INTO tag (name) VALUES ('news')", "INSERT INTO tag (name) VALUES ('news') ON CONFLICT DO NOTHING"
    )
    pytester.path.joinpath("test_repaired.py").write_text(repaired, encoding="utf-8")
    result = pytester.runpytest_subprocess("--chaos-seed=1")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*UniqueViolation*"])
