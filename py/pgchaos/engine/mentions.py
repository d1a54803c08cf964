"""What the statements of a scenario speak of, those of included files too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgchaos.scenario.model import Item, Scenario, Statement


def mentions(scenario: Scenario, words: re.Pattern[str]) -> bool:
    """Say whether some statement of a scenario holds something.

    Args:
        scenario: as read.
        words: to look for.
    """
    return any(isinstance(item, Statement) and words.search(item.text) for item in _items(scenario))


def _items(scenario: Scenario) -> Iterator[Item]:
    for section in (*scenario.setup, *scenario.checks, *scenario.teardown):
        yield from section.items
    for session in scenario.sessions:
        yield from session.items
    for invariant in scenario.invariants:
        yield from invariant.items
