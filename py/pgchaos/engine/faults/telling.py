"""How it is told that a fault could not be delivered. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pgchaos.faults.kinds import told
from pgchaos.history import Failure
from pgchaos.scenario.model import Fault, Scenario
from pgchaos.schedule.board import in_force


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


def never_struck(scenario: Scenario, variables: Mapping[str, str], struck: Collection[str]) -> list[Failure]:
    """Tell of the faults `at any step` that no run of a search delivered.

    Args:
        scenario: whose faults.
        variables: of its matrix.
        struck: those that were delivered, see `Tally.roamed`.

    Returns:
        A failure for each.
    """
    why = "no step that the search chose was come to, or each was over before it could strike"
    return [
        failure(item, why)
        for session in scenario.sessions
        for item in session.items
        if isinstance(item, Fault) and item.anywhere and in_force(item, variables) and item.choice not in struck
    ]
