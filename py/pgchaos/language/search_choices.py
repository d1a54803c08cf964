"""What a search draws in addition to the order of steps: values of `given`, and positions of faults `at any step`.

They are determined by the sessions that run, not by the file: a mutant's sessions may have other faults or statements.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pgchaos.language.header_model import Given, applies
from pgchaos.language.model import Scenario, Session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import CHOICE, Fault, Item, Statement

_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def drawn_variables(scenario: Scenario, variables: Mapping[str, str]) -> tuple[Given, ...]:
    """Return what is drawn for a run with these matrix values; `scenario` contains the mutant, if there is one.

    These are the variables of `given`, and for each fault `at any step` the number of its statement.
    """
    return (*scenario.given, *_fault_positions(scenario.sessions, variables))


def possible_values(given: Given) -> float:
    """Count the values from which a variable is drawn; infinity if no search could draw them all."""
    match given.kind:
        case "integer":
            return int(given.high or 0) - int(given.low or 0) + 1
        case "boolean":
            return 2
        case "choice":
            return len(given.choices)
    return math.inf


def has_floating_fault(sessions: Iterable[Session], variables: Mapping[str, str]) -> bool:
    """Whether sessions that run together have a fault `at any step`."""
    return next(_fault_positions(sessions, variables), None) is not None


def _fault_positions(sessions: Iterable[Session], variables: Mapping[str, str]) -> Iterator[Given]:
    for session in sessions:
        faults = [item for item in session.items if isinstance(item, Fault) and item.anywhere]
        for fault in faults:
            if applies(fault.when, variables):
                statements = sum(isinstance(item, Statement) for item in session.items)
                # those in a branch that is not taken count too: the branches are known only in the run
                most = max(1, statements * session.count * session.repeat)
                yield Given(fault.place, fault.choice, "integer", "1", str(most))


def without_faults(values: Mapping[str, str]) -> dict[str, str]:
    """Return the drawn values changed so that no fault `at any step` is delivered."""
    # statements are numbered from 1
    return {name: "0" if name.startswith(CHOICE) else value for name, value in values.items()}


def number_included_faults(scenario: Scenario) -> Scenario:
    """Give each fault of an included file a unique name: a line that is included twice is two faults."""
    # mutants are included, so that a fault has the same name with a mutant and without
    if not scenario.includes:
        return scenario
    sessions_of: dict[Place, set[str]] = {}
    for session in scenario.all_sessions:
        for place in _fault_places(session):
            sessions_of.setdefault(place, set()).add(session.name)
    shared = frozenset(place for place, names in sessions_of.items() if len(names) > 1)
    return replace(
        scenario,
        sessions=tuple(_numbered(session, scenario.shown, shared) for session in scenario.sessions),
        mutants=tuple(
            replace(m, sessions=tuple(_numbered(session, scenario.shown, shared) for session in m.sessions))
            for m in scenario.mutants
        ),
    )


def _fault_places(session: Session) -> list[Place]:
    return [item.place for item in session.items if isinstance(item, Fault)]


def _numbered(session: Session, shown: str, shared: frozenset[Place]) -> Session:
    times, seen = Counter(_fault_places(session)), Counter[Place]()
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
