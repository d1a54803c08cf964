"""Counts the faults of a run: how often the line of each was come to, and whether it struck. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pgchaos.language.fault_kinds import describe, form_of
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.results import Failure
from pgchaos.schedule.wait_rules import Actor, in_force

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
    return Failure("fault", (), f"`fault {describe(fault)}` could not be delivered: {why}", fault.place, session=who)


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


def _reasons(reasons: Iterable[str]) -> str:
    different = list(dict.fromkeys(reasons))
    more = len(different) - _REASONS
    shown = "; ".join(different[:_REASONS]) or "no session came to one"
    return f"{shown}; and {more} more" if more > 0 else shown


class FaultCounter:
    """Counts.

    Args:
        scenario: whose faults.
        values: of the matrix, and where faults strike that a search has chosen for.
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
        self._struck: set[Fault] = set()
        self._passed_by: dict[str, list[str]] = {}
        self._unfelt: dict[Fault, str] = {}

    def is_due(self, fault: Fault, actor: Actor) -> bool:
        """Count an execution of a fault's line, and say whether it is the one."""
        key = _key(fault, actor)
        count = self._reached[key] = self._reached.get(key, 0) + 1
        if fault.anywhere:
            return str(count) == self._values.get(fault.choice)
        return fault.nth == 0 or count == (fault.nth or 1)

    def not_reached(self, fault: Fault, actor: Actor) -> None:
        """Take the last count back: the connection was lost before the statement could be sent."""
        self._reached[_key(fault, actor)] -= 1

    def struck(self, fault: Fault) -> None:
        """Note that a fault struck."""
        self._struck.add(fault)

    def unfelt(self, fault: Fault, why: str = "") -> None:
        """Take a strike back: it came when the statement was over, and nobody felt it.

        Args:
            fault: which.
            why: nobody did, where that is known only at the end.
        """
        self._struck.discard(fault)
        if why:
            self._unfelt[fault] = why
            self.passed_by(fault, why)

    def passed_by(self, fault: Fault, why: str) -> None:
        """Note that a step which a search has chosen for a fault could not be struck.

        Args:
            fault: of any step.
            why: not.
        """
        self._passed_by.setdefault(fault.choice, []).append(why)

    # at the end

    def undelivered(self) -> list[Failure]:
        """Tell of the faults that never struck."""
        # where a session sends fewer statements than it has, a search may choose one that it does not come to
        missing = [fault for fault in self._faults if fault not in self._struck and not fault.anywhere]
        return [failure(fault, self._why_not(fault)) for fault in missing]

    def floating_delivered(self) -> set[str]:
        """Name the choices of those faults `at any step` that struck."""
        return {fault.choice for fault in self._struck if fault.anywhere}

    def floating_missed(self) -> dict[str, list[str]]:
        """Tell by their choices why faults `at any step` did not strike where they should."""
        return dict(self._passed_by)

    def _why_not(self, fault: Fault) -> str:
        if fault in self._unfelt:
            return self._unfelt[fault]
        counts = [count for key, count in self._reached.items() if key[0] == fault and count]
        if fault.statement:
            seen = f"there were only {max(counts)} requests" if counts else "there was no request"
            return f"{seen} like '{fault.statement}'"
        if not counts:
            which = f" of {fault.included}" if fault.included else ""
            return f"no session came to its line{which}"
        return f"its line was come to {max(counts)} time{'s' if max(counts) > 1 else ''} only"


def _key(fault: Fault, actor: Actor) -> tuple[object, ...]:
    own = fault.target is None and form_of(fault).strikes in ("a session", "a connection") and not fault.anywhere
    return (fault, actor) if own else (fault,)
