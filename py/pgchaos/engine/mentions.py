"""What the statements of a scenario speak of, those of included files too."""

from __future__ import annotations

import re

from pgchaos.scenario.model import Scenario


def mentions(scenario: Scenario, words: re.Pattern[str]) -> bool:
    """Say whether some statement of a scenario holds something.

    Args:
        scenario: as read.
        words: to look for.
    """
    return any(words.search(statement.text) for statement in scenario.statements())
