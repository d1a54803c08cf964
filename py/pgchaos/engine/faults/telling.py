"""How it is told that a fault could not be delivered. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pgchaos.faults.kinds import told
from pgchaos.history import Failure
from pgchaos.scenario.items import Fault
from pgchaos.scenario.model import Scenario
from pgchaos.schedule.board import in_force

_REASONS = 3
"""How many reasons are told why a fault was delivered nowhere."""


def failure(fault: Fault, why: str, who: str | None = None) -> Failure:
    """Say that a fault could not be delivered.

    Args:
        fault: which.
        why: not.
        who: the connection in which it stands.

    Returns:
        The failure, named `fault`.
    """
    return Failure("fault", (), f"`fault {told(fault)}` could not be delivered: {why}", fault.place, session=who)


def never_struck(
    scenario: Scenario, variables: Mapping[str, str], struck: Collection[str], passed_by: Mapping[str, Iterable[str]]
) -> list[Failure]:
    """Tell of the faults `at any step` that no run of a search delivered.

    Args:
        scenario: whose faults.
        variables: of its matrix.
        struck: those that were delivered, see `Tally.roamed`.
        passed_by: why others were not where they should, see `Tally.roamed_in_vain`.

    Returns:
        A failure for each.
    """
    return [
        failure(item, f"at no step that the search chose: {_reasons(passed_by.get(item.choice, ()))}")
        for session in scenario.sessions
        for item in session.items
        if isinstance(item, Fault) and item.anywhere and in_force(item, variables) and item.choice not in struck
    ]


def _reasons(told: Iterable[str]) -> str:
    different = list(dict.fromkeys(told))
    more = len(different) - _REASONS
    shown = "; ".join(different[:_REASONS]) or "no session came to one"
    return f"{shown}; and {more} more" if more > 0 else shown
