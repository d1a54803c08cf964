"""Searches for patterns in the statements of a scenario, with those of included files, in variables and in queries."""

from __future__ import annotations

import re
from collections.abc import Collection

from pgchaos.language.model import Part, Scenario, cached_on_scenario
from pgchaos.language.section_items import Meta

_BETWEEN = "\n;\n"  # between two statements: a match does not span both


def mentions(scenario: Scenario, words: re.Pattern[str]) -> bool:
    """Whether a statement of a scenario matches a pattern."""
    # cached: a search runs a scenario thousands of times, and each run searches for ten patterns
    found = scenario.cache.get(words)
    if found is None:
        found = scenario.cache[words] = words.search(_text(scenario)) is not None
    return bool(found)


def query_matches(query: str, pattern: re.Pattern[str], words: Collection[str]) -> bool:
    """Whether a query matches a pattern.

    Args:
        query: to search in.
        pattern: that ignores case.
        words: in lower case; each match contains one of them. Searching for them first takes a tenth of the time.
    """
    folded = query.casefold()
    for word in words:  # hot: a generator would take as long as the search
        if word in folded:
            return pattern.search(query) is not None
    return False


@cached_on_scenario
def _text(scenario: Scenario) -> str:
    return _BETWEEN.join(statement.text for statement in scenario.statements())


def values_mention(scenario: Scenario, words: re.Pattern[str]) -> bool:
    """Whether the value of a variable of sessions or invariants, which may hold SQL, matches a pattern."""
    return words.search(_values(scenario)) is not None


@cached_on_scenario
def _values(scenario: Scenario) -> str:
    texts = [*scenario.constants.values(), *(value for matrix in scenario.matrix for value in matrix.values)]
    parts: tuple[Part, ...] = (*scenario.sessions, *scenario.invariants)
    for item in (item for part in parts for item in part.items if isinstance(item, Meta) and item.name == "set"):
        texts += ["".join(text for text in value if isinstance(text, str)) for value in item.args[1:]]
    return _BETWEEN.join(texts)
