"""The summary of an item that was stopped."""

from __future__ import annotations

from pgchaos.results import Failure, RunResult
from pgchaos.runner.item_progress import ItemProgress

FAILED = RunResult(7, failures=[Failure("assertion", ("x",), "both are there")], decisions=(0, 1, 1))


def progress(*results: RunResult, limit: int, interleavings: bool = True) -> str:
    one = ItemProgress("a.sql::a", "00c0ffee", interleavings, lambda result: bool(result.failures))
    for result in results:
        one.add(result, limit)
    return one.summary(7)


def test_a_summary_has_the_first_failure_and_its_token() -> None:
    fine = RunResult(7)
    assert progress(fine, fine, limit=5000) == "a.sql::a: stopped after 2 of 5000 interleavings, none failed, seed 7"
    assert (
        progress(fine, limit=100, interleavings=False) == "a.sql::a: stopped after 1 of 100 runs, none failed, seed 7"
    )
    assert progress(limit=0) == "a.sql::a: stopped in its first run, seed 7"
    token = "--chaos-replay=00c0ffeedec2-7-011"
    assert (
        progress(fine, FAILED, FAILED, limit=6)
        == f"a.sql::a: stopped after 3 of 6 interleavings, 2 failed (both are there), seed 7, {token}"
    )
    assert progress(FAILED, limit=1) == f"a.sql::a: stopped after it failed (both are there), seed 7, {token}"
