"""Whether two runs of one schedule were the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pgchaos.language.problems import Place
from pgchaos.results import Record
from pgchaos.schedule.selfcheck import difference

HERE = Place("x.sql", 7)
ONE = Record("a", 1, 1, 1, "looks", HERE, "SELECT 1", "SELECT 1", 1, "00000", started_at=1.0, ended_at=2.0)


def test_times_do_not_count() -> None:
    assert difference([ONE], [replace(ONE, started_at=5.0, ended_at=9.0)]) is None


def test_the_order_of_connections_does_not_count_but_that_of_one_does() -> None:
    other, after = replace(ONE, worker=2), replace(ONE, step="writes")
    assert difference([ONE, other, after], [other, ONE, after]) is None
    assert difference([ONE, after], [after, ONE]) is not None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows": 2, "tag": "SELECT 2"}, "gave SELECT 2"),
        ({"sqlstate": "40001", "tag": None}, "failed with 40001"),
        ({"waited_on": ("b[1]",)}, "waited for b[1]"),
        ({"notes": ("x = 2",)}, "x = 2"),
        ({"attempt": 2}, "attempt 2"),
        ({"skipped": True, "sqlstate": None}, "was not sent"),
    ],
)
def test_what_became_of_a_statement_does(changed: Mapping[str, object], said: str) -> None:
    found = difference([ONE], [replace(ONE, **changed)])  # type: ignore[arg-type]  # fields of several types
    assert found is not None
    assert found[1] == HERE
    assert found[0].startswith("not deterministic: a[1].looks gave SELECT 1; then, by the same schedule, a[1].looks ")
    assert said in found[0]


def test_a_statement_that_only_one_run_came_to_does() -> None:
    found = difference([ONE], [ONE, replace(ONE, step="more")])
    assert found is not None
    assert found[0].startswith("not deterministic: only one of two runs reached a[1].more")
