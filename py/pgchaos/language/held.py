"""The assertions that a function of the file prints each time that it is called: those in no branch of it. Pure."""

from __future__ import annotations

from collections.abc import Collection

from pgchaos.language.assertions import Call, Names, calls_in
from pgchaos.language.model import Scenario
from pgchaos.language.pgtap_functions import own_functions
from pgchaos.language.sql_tokens import SqlStatement, all_statements

_CHOOSES = ("if", "case")
_HANDLES = ("exception", "return", "exit", "continue")
"""Words behind which it is a matter of what happened whether a function goes on."""


def held_by_functions(scenario: Scenario, asserting: Collection[str], names: Names) -> dict[str, tuple[Call, ...]]:
    """Find what functions of a file assert whatever way they take, once at least where their loops come over rows.

    Args:
        scenario: the file.
        asserting: its functions that assert.
        names: of the file.

    Returns:
        By the function's name in small letters; without functions that may end early, and those of one assertion.
    """
    found: dict[str, tuple[Call, ...]] = {}
    for item in scenario.statements():
        if item.verb != "CREATE":
            continue
        for name in own_functions([item]).intersection(asserting):
            held = _held(list(all_statements(item.text)), asserting, names)
            if len(held) > 1:
                found[name] = held
    return found


def _held(body: list[SqlStatement], asserting: Collection[str], names: Names) -> tuple[Call, ...]:
    found: list[Call] = []
    choices = 0
    for parsed in body[1:]:
        words = parsed.tokens
        if parsed.verb == "end":
            choices -= len(words) > 1 and words[1].is_word(*_CHOOSES) and choices > 0
        elif parsed.verb in _CHOOSES:
            choices += 1
        elif parsed.verb in _HANDLES and (len(words) == 1 or parsed.verb == "exception"):
            return ()
        elif not choices:
            found += [one for one in calls_in(list(words), asserting, names) if one.certain and not one.inside]
    return tuple(found)
