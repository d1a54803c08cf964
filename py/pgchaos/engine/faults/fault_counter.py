"""Counts for each fault of a run how often its line was reached, and whether it was delivered. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pgchaos.language.fault_kinds import describe, form_of
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.results import Failure
from pgchaos.schedule.wait_rules import Actor, in_force

_REASONS = 3
"""Reasons that are shown for a fault that was never delivered."""


def failure(fault: Fault, why: str, who: str | None = None) -> Failure:
    """Make the failure of a fault that could not be delivered.

    Args:
        fault: not delivered.
        why: the reason.
        who: the connection whose session has it.

    Returns:
        The failure, named `fault`.
    """
    return Failure("fault", (), f"`fault {describe(fault)}` could not be delivered: {why}", fault.place, session=who)


def never_delivered(
    scenario: Scenario,
    variables: Mapping[str, str],
    delivered: Collection[Fault],
    without_effect: Mapping[Fault, Iterable[str]],
) -> list[Failure]:
    """Report faults that may miss in one run but must not in all: those `at any step`, and those without effect.

    Args:
        scenario: of the faults.
        variables: of its matrix.
        delivered: delivered by some run, see `FaultCounter.delivered`.
        without_effect: why runs did not deliver others, see `FaultCounter.without_effect`.

    Returns:
        A failure for each.
    """
    found = []
    for item in (item for session in scenario.sessions for item in session.items if isinstance(item, Fault)):
        reasons = without_effect.get(item, ())
        if item not in delivered and (reasons or (item.anywhere and in_force(item, variables))):
            where = "at no step that the search chose: " if item.anywhere else ""
            found.append(failure(item, where + _reasons(reasons)))
    return found


def _reasons(reasons: Iterable[str]) -> str:
    different = list(dict.fromkeys(reasons))
    more = len(different) - _REASONS
    shown = "; ".join(different[:_REASONS]) or "no session reached one"
    return f"{shown}; and {more} more" if more > 0 else shown


class FaultCounter:
    """Counts the faults of one run.

    Args:
        scenario: of the faults.
        values: of the matrix, and the places that a search has chosen for faults.
    """

    def __init__(self, scenario: Scenario, values: Mapping[str, str]) -> None:
        self._values = values
        self._faults = [
            item
            for session in scenario.sessions
            for item in session.items
            if isinstance(item, Fault) and in_force(item, values)
        ]
        self._reached: dict[tuple[object, ...], int] = {}
        self.delivered: set[Fault] = set()
        """The delivered faults."""
        self.without_effect: dict[Fault, list[str]] = {}
        """Why others had no target at their place, or no effect."""

    def is_due(self, fault: Fault, actor: Actor) -> bool:
        """Count an execution of a fault's line; return whether the fault is delivered at this one."""
        key = _key(fault, actor)
        count = self._reached[key] = self._reached.get(key, 0) + 1
        if fault.anywhere:
            return str(count) == self._values.get(fault.choice)
        return fault.nth == 0 or count == (fault.nth or 1)

    def not_reached(self, fault: Fault, actor: Actor) -> None:
        """Undo the last count: the connection was lost before the statement could be sent."""
        self._reached[_key(fault, actor)] -= 1

    def note_missed(self, fault: Fault, why: str) -> None:
        """Record why a fault had no target at its place, or no effect; it may have one in another run."""
        self.delivered.discard(fault)
        self.without_effect.setdefault(fault, []).append(why)

    # at the end

    def undelivered(self) -> list[Failure]:
        """Make a failure of each fault that was never delivered."""
        # a session may send fewer statements than it has, and a search may choose one that it does not reach
        known = {*self.delivered, *self.without_effect}
        return [
            failure(fault, self._why_not(fault)) for fault in self._faults if not (fault in known or fault.anywhere)
        ]

    def _why_not(self, fault: Fault) -> str:
        counts = [count for key, count in self._reached.items() if key[0] == fault and count]
        if fault.statement:
            seen = f"there were only {max(counts)} requests" if counts else "there was no request"
            return f"{seen} like '{fault.statement}'"
        if not counts:
            which = f" of {fault.included}" if fault.included else ""
            return f"no session reached its line{which}"
        return f"its line was reached only {'once' if max(counts) == 1 else f'{max(counts)} times'}"


def _key(fault: Fault, actor: Actor) -> tuple[object, ...]:
    own = fault.target is None and form_of(fault).targets in ("a session", "a connection") and not fault.anywhere
    return (fault, actor) if own else (fault,)
