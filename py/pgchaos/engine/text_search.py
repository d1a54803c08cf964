"""What the statements of a scenario speak of, those of included files too."""

from __future__ import annotations

import re
from functools import lru_cache

from pgchaos.language.model import Scenario

_BETWEEN = "\n;\n"
"""Stands between two statements: nothing that is looked for goes on beyond the end of one."""


class _Same:
    """A scenario that is equal to none but itself: to compare two would take longer than to look."""

    __slots__ = ("scenario",)

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    def __hash__(self) -> int:
        return id(self.scenario)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.scenario is other.scenario


def mentions(scenario: Scenario, words: re.Pattern[str]) -> bool:
    """Say whether some statement of a scenario holds something.

    Args:
        scenario: as read.
        words: to look for, within one statement.
    """
    return _mentions(_Same(scenario), words)


# a search makes thousands of runs of one scenario, a handful of them side by side, and each asks for ten things
@lru_cache(maxsize=160)
def _mentions(same: _Same, words: re.Pattern[str]) -> bool:
    return words.search(_text(same)) is not None


@lru_cache(maxsize=16)
def _text(same: _Same) -> str:
    return _BETWEEN.join(statement.text for statement in same.scenario.statements())
