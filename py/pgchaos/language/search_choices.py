"""What a search chooses beside the order of steps: the values of `given`, and where faults `at any step` strike. Pure.

It is made of the sessions that run, and not kept with the file: a mutant's may have other faults, or other statements.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pgchaos.language.header_model import Given, holds
from pgchaos.language.model import Scenario, Session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import CHOICE, Fault, Item, Statement

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def drawn(scenario: Scenario, variables: Mapping[str, str]) -> tuple[Given, ...]:
    """List what is drawn for a run.

    Args:
        scenario: that is run, with the mutant in it if there is one.
        variables: of its matrix.

    Returns:
        The variables of `given`; and of each fault `at any step` at which of the statements that its session sends.
    """
    return (*scenario.given, *_choices(scenario.sessions, variables))


def possible_values(given: Given) -> float:
    """Count the values that a variable may be drawn from.

    Args:
        given: of the variable.

    Returns:
        Their number; infinity where they are more than anybody draws.
    """
    match given.kind:
        case "integer":
            return int(given.high or 0) - int(given.low or 0) + 1
        case "boolean":
            return 2
        case "choice":
            return len(given.choices)
    return math.inf


def has_floating_fault(sessions: Iterable[Session], variables: Mapping[str, str]) -> bool:
    """Say whether a fault `at any step` is among sessions.

    Args:
        sessions: that are run together.
        variables: of the matrix.
    """
    return next(_choices(sessions, variables), None) is not None


def _choices(sessions: Iterable[Session], variables: Mapping[str, str]) -> Iterator[Given]:
    for session in sessions:
        faults = [item for item in session.items if isinstance(item, Fault) and item.anywhere]
        for fault in faults:
            if holds(fault.when, variables):
                steps = sum(isinstance(item, Statement) for item in session.items)
                most = max(1, steps * session.count * session.repeat)
                yield Given(fault.place, fault.choice, "integer", "1", str(most))


def without_faults(values: Mapping[str, str]) -> dict[str, str]:
    """Give drawn values with which no fault `at any step` strikes.

    Args:
        values: that were drawn.
    """
    # statements are counted from 1
    return {name: "0" if name.startswith(CHOICE) else value for name, value in values.items()}


def told_apart(scenario: Scenario) -> Scenario:
    """Have each fault of an included file know which it is: a line that is included twice is two faults.

    Args:
        scenario: as read, with its mutants.

    Returns:
        The same, its faults told apart. How they are called depends on all of the file, so that a mutant's are called
        as its own are.
    """
    if not scenario.includes:
        return scenario
    mutants = scenario.mutants
    everybody = [*scenario.sessions, *(session for mutant in mutants for session in mutant.sessions)]
    users: dict[Place, set[str]] = {}
    for session in everybody:
        for place in _places(session):
            users.setdefault(place, set()).add(session.name)
    shared = frozenset(place for place, names in users.items() if len(names) > 1)
    return replace(
        scenario,
        sessions=tuple(_told_apart(session, scenario.shown, shared) for session in scenario.sessions),
        mutants=tuple(
            replace(m, sessions=tuple(_told_apart(session, scenario.shown, shared) for session in m.sessions))
            for m in mutants
        ),
    )


def _places(session: Session) -> list[Place]:
    return [item.place for item in session.items if isinstance(item, Fault)]


def _told_apart(session: Session, shown: str, shared: frozenset[Place]) -> Session:
    times, seen = Counter(_places(session)), Counter[Place]()
    items: list[Item] = []
    for item in session.items:
        if isinstance(item, Fault) and item.place.path != shown:
            place = item.place
            seen[place] += 1
            which = f" in {session.name}" if place in shared or times[place] > 1 else ""
            which += f" ({_nth(seen[place])} time)" if times[place] > 1 else ""
            items.append(replace(item, included=f"{place.path}{which}"))
        else:
            items.append(item)
    return replace(session, items=tuple(items))


def _nth(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{_ENDINGS.get(number % 10, 'th')}"
