"""Finds functions of the toolkit that a file calls to break something, and that broke no statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pgchaos.language.model import Scenario, cached_on_scenario, statements_in
from pgchaos.language.problems import Place
from pgchaos.language.sql_tokens import all_statements, function_calls
from pgchaos.results import Record

# by function: the SQLSTATEs by which a session notices it; none if it forces an error of any SQLSTATE
_CODES: Mapping[str, tuple[str, ...]] = {
    "inject_error": (),
    "fail_nth": (),
    "terminate": ("57P01", "08006"),
    "cancel": ("57014",),
}
_CAUGHT = ("exception", "throws_")  # words of files that may catch an error before its session sees it


@cached_on_scenario
def breaking_calls(scenario: Scenario) -> dict[str, Place]:
    """Return the functions that setup and sessions call to break a statement, with the place of the first call."""
    if any(word in item.text.lower() for item in scenario.statements() for word in _CAUGHT):
        return {}
    found: dict[str, Place] = {}
    for item in statements_in((*scenario.setup, *scenario.sessions)):
        called = all_statements(item.text) if "chaos" in item.text.lower() else ()
        for call in (call for one in called for call in function_calls(one.tokens)):
            if call.schema.lower() == "chaos" and call.name.lower() in _CODES:
                found.setdefault(call.name.lower(), item.place)
    return found


def broken_by(scenario: Scenario, records: Iterable[Record]) -> set[str]:
    """Return which of these functions broke a statement of a run."""
    calls = breaking_calls(scenario)
    if not calls:
        return set()
    failed = [one for one in records if one.message]
    return {
        name
        for name in calls
        for one in failed
        if one.sqlstate in _CODES[name] or (one.message or "").startswith(f"forced by chaos.{name}:")
    }


def without_effect(scenario: Scenario, broken: Collection[str]) -> list[str]:
    """Describe the functions that broke no statement in any run of an item."""
    return [
        f"{place}: chaos.{name}() is called, and no statement of a session failed by it"
        for name, place in breaking_calls(scenario).items()
        if name not in broken
    ]
