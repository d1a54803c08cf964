"""A plugin of pytest for the scenarios that we ship: each runs without a note, and in half of its time-out."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.pytest_plugin.scenario_item import NOTE, ScenarioItem


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail an item that passed, or failed as it is known to, but with a note or with little time left."""
    try:
        yield
    except pytest.xfail.Exception:
        _look(item)
        raise
    _look(item)


def _look(item: pytest.Item) -> None:
    if isinstance(item, ScenarioItem) and item.job is not None and not item.job.mutant:
        assert [text for name, text in item.user_properties if name == NOTE] == []
        if not {"drawing", "searching"}.intersection(item.job.parts):
            # a search takes the time of all its runs, and the limit is of each
            limit = item.job.read()[0].timeout or RunSettings(0).timeout
            assert item.duration is not None
            assert item.duration < limit / 2, "it has half of its time-out to spare"
