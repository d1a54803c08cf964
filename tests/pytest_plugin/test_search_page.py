"""The page on searching is true: its scenario fails as it says, each repair leads on, and the last finds nothing."""

from __future__ import annotations

import math
import re

import pytest

from tests.often import often
from tests.pytest_plugin.conftest import Project
from tests.pytest_plugin.pages import failure, make, page, shown, sql_blocks, timeless

PAGE = page("sql/SEARCH.md")
FIRST, LOCKS, COMPUTES = sql_blocks(PAGE)
LOCKED = FIRST.replace("SELECT state = 'placed' AS open FROM orders WHERE id = 10 \\gset\n", LOCKS)
MENDED = LOCKED.replace("UPDATE product SET stock = :stock - 1 WHERE id = 1;\n", COMPUTES)
LOST, AGAIN, NOTHING = shown(PAGE)
COLUMNS = 124
"""Of the terminal that the page was made in."""


def test_the_first_race_is_found_and_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(shop=FIRST)
    text = failure(make(project, monkeypatch, LOST.command, COLUMNS))
    assert timeless(text)[1:] == timeless(LOST.text)


def test_behind_it_the_second_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOCKED.count("FOR UPDATE") == 2
    project.write(shop=LOCKED)
    text = failure(make(project, monkeypatch, AGAIN.command, COLUMNS))
    assert timeless(text)[1:] == timeless(AGAIN.text)


def test_then_nothing_is_found(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "stock = stock - 1" in MENDED
    few = often(60, 500)
    project.write(shop=MENDED.replace("explore 500\n", f"explore {few}\n"))
    result = make(project, monkeypatch, NOTHING.command, COLUMNS)
    result.assert_outcomes(passed=1)
    (output,) = (line for line in result.outlines if line.startswith("explored: "))
    words = NOTHING.text.split()
    assert output.split()[:2] == words[:2]
    assert f"of {few} interleavings" in output
    assert few < 500 or output.split() == words


def interleavings(*statements: int) -> int:
    """Count the orders of sessions of so many statements each."""
    return math.factorial(sum(statements)) // math.prod(map(math.factorial, statements))


def test_the_orders_are_as_many_as_said() -> None:
    sessions = re.findall(r"-- chaos:session \w+\n(.*?)(?=\n-- chaos:|\Z)", FIRST, re.DOTALL)
    sent = [sum(not line.startswith("\\") for line in session.strip().splitlines()) for session in sessions]
    assert f"Four of {interleavings(*sent):,} interleavings were enough" in PAGE
    assert "Found after 4 interleavings" in LOST.text
    assert f"two\nsessions of four statements have {interleavings(4, 4)} orders" in PAGE
