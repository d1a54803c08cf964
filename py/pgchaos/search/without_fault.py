"""Finds out whether a failure that a search found needs the fault `at any step` that it chose a place for."""

from __future__ import annotations

from dataclasses import replace

from pgchaos.engine.run_settings import uncounted
from pgchaos.language.search_choices import without_faults
from pgchaos.results import RunResult
from pgchaos.search.merge import key_of
from pgchaos.search.run_factory import RunFactory


def tried_without_fault(single: RunFactory, failed: RunResult) -> str:
    """Run again without the faults `at any step`, with the same values and order of steps."""
    values = without_faults(failed.values)
    if values == failed.values:
        return ""
    # with an oracle of its own: what is said of the search is not about this run
    again = single.seeded(single.settings.seed)
    again.settings = replace(again.settings, ran=uncounted)
    again.values = values
    result = again.once(again.following(failed.decisions, lenient=True) if failed.decisions else None)
    if again.stopped() or not result.failures:
        return ""
    if {key_of(failure) for failure in failed.failures}.isdisjoint(map(key_of, result.failures)):
        return f"fails without the fault too, in another way: {result.failures[0].text}"
    return "fails without the fault too"
