"""What `repeat while SESSION` asks of the rest of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pgchaos.scenario.items import Barrier, Fault
from pgchaos.scenario.model import Scenario, Session
from pgchaos.scenario.mutation import sessions_of
from pgchaos.scenario.names import meant
from pgchaos.scenario.place import Place


def check_repeats(scenario: Scenario, complain: Callable[[Place, str], None]) -> None:
    """Complain of each `repeat while` that cannot be.

    Args:
        scenario: the file.
        complain: called with the place and text of each problem, once for each.
    """
    found: dict[tuple[Place, str], None] = {}
    changed = [mutant for mutant in scenario.mutants if mutant.sessions]
    own = [scenario.sessions, *(mutant.sessions for mutant in changed)]
    if not any(session.beside for sessions in own for session in sessions):
        return
    for sessions in (scenario.sessions, *(sessions_of(scenario, mutant) for mutant in changed)):
        by_name = {session.name: session for session in sessions}
        for session in sessions:
            if session.beside:
                found.update(((session.place, text), None) for text in _wrong(session, by_name))
                found.update(((session.place, text), None) for text in _cannot_be_counted(scenario))
    for place, text in found:
        complain(place, f"`repeat while`: {text}")


def _wrong(session: Session, sessions: Mapping[str, Session]) -> Iterable[str]:
    if session.beside not in sessions:
        yield f"there is no session `{session.beside}`{meant(session.beside, set(sessions) - {session.name})}"
        return
    chain = [session.name]
    while (beside := sessions[chain[-1]].beside) in sessions:
        chain.append(beside)
        if beside == session.name:
            yield f"it would never end: {' waits for '.join(f'`{name}`' for name in chain)}"
            return
        if beside in chain[:-1]:
            return
    for item in session.items:
        if isinstance(item, Barrier):
            yield (
                f"the barrier `{item.name}` in line {item.place.line} would wait for sessions that do not come again;"
                " use `signal` and `wait for`, or `repeat N`"
            )
        elif isinstance(item, Fault) and item.anywhere:
            yield f"`at any step` in line {item.place.line} needs to know how many steps there are: write `repeat N`"


def _cannot_be_counted(scenario: Scenario) -> Iterable[str]:
    if scenario.schedule.kind != "free":
        yield "a schedule needs to know how many steps there are: write `repeat N`, or leave the schedule out"
    if scenario.oracle is not None:
        yield "the oracle runs the same transactions again, one after the other: write `repeat N`"
