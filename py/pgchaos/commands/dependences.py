"""Finds which steps of a scenario depend on each other, and why, and how many orders differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pgchaos.language.model import Scenario, Session
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_tokens import SqlStatement, token_at, top_statements
from pgchaos.language.substitution import TooLong, render
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Dependence, Footprint
from pgchaos.schedule.permutations import Frontier, actors
from pgchaos.schedule.step_points import StepPoint
from pgchaos.search.footprints import SERIALIZABLE, Unknowable, footprints
from pgchaos.search.touched_tables import TIME, KnownDatabase, touched

_MOST_RUNS = 2000  # orders that are counted one by one
_BEGINS, _ENDS = frozenset({"begin", "start"}), frozenset({"commit", "end", "rollback", "abort"})
_IN_A_TRANSACTION = frozenset({"savepoint", "release", "set"})


@dataclass(frozen=True, slots=True)
class StepTouch:
    """What the statements of a step touch."""

    step: str
    footprint: Footprint
    why: str = ""  # the reason, if it may touch anything
    ends: bool = False  # it ends a transaction


def touches(session: Session, variables: Mapping[str, str], known: KnownDatabase) -> tuple[StepTouch, ...]:
    """Return what each step of a session touches, in order."""
    found = dict.fromkeys(session.steps, StepTouch("", NOTHING))
    for item in session.items:
        if isinstance(item, Statement):
            before = found[item.step]
            one = touch(item, variables, known)
            found[item.step] = StepTouch(
                item.step, before.footprint | one.footprint, before.why or one.why, before.ends or one.ends
            )
    return tuple(found.values())


def touch(item: Statement, variables: Mapping[str, str], known: KnownDatabase) -> StepTouch:
    """Return what one statement touches; see `touches`."""
    try:
        statements = top_statements(render(item.parts, variables))
    except TooLong as error:
        return StepTouch(item.step, ANYTHING, str(error))
    footprint, why, ends = NOTHING, "", False
    for statement in statements:
        ends = ends or (statement.verb in _ENDS and not any(token.is_word("to") for token in statement.tokens))
        if statement.verb in _BEGINS | _ENDS | _IN_A_TRANSACTION:
            continue
        one = touched(statement, known)
        footprint |= one
        why = why or (_why_anything(statement, known) if one.anything else "")
    return StepTouch(item.step, footprint, why, ends)


def _why_anything(statement: SqlStatement, known: KnownDatabase) -> str:
    """Explain why a statement may touch anything."""
    tokens = statement.tokens
    for at, token in enumerate(tokens):
        before, behind = token_at(tokens, at - 1), token_at(tokens, at + 1)
        if token.is_identifier and token.text in known.functions and behind.is_symbol("("):
            return f"it calls {token.text}()"
        is_table = before.is_word("from", "join", "into", "update", "table", "only") and not behind.is_symbol("(", ".")
        if token.is_identifier and is_table and token.text not in known.relations:
            return f"setup does not say what {token.text} is"
        if token.is_identifier and token.text in known.relations:
            relation = known.relations[token.text]
            if relation.written.anything:
                return f"{token.text} has a trigger, a rule, a policy or a function of its own"
    return f"what this {statement.verb.upper() or 'statement'} does is not known from its text"


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that one connection writes and another touches, with the steps as `session.step`."""

    name: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]


def shared(sessions: Sequence[Session], steps: Mapping[str, Sequence[StepTouch]]) -> list[Shared]:
    """List the shared things by which steps depend on each other; `steps` is what those of each session touch."""
    names = sorted(
        {name for some in steps.values() for one in some for name in one.footprint.reads | one.footprint.writes}
    )
    found = []
    for name in names:
        writers = {(s.name, one.step) for s in sessions for one in steps[s.name] if name in one.footprint.writes}
        readers = {(s.name, one.step) for s in sessions for one in steps[s.name] if name in one.footprint.reads}
        users = [s for s in sessions if s.name in {session for session, _ in writers | readers}]
        if writers and sum(s.count for s in users) > 1:
            found.append(Shared(name, _written(sessions, writers), _written(sessions, readers - writers)))
    return found


def _written(sessions: Sequence[Session], steps: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    chosen = set(steps)
    return tuple(f"{s.name}.{step}" for s in sessions for step in s.steps if (s.name, step) in chosen)


def name_of(thing: str) -> str:
    """Return the name of a touched thing for users."""
    return {TIME: "the clock", SERIALIZABLE: "the serializable transactions"}.get(thing, thing)


def different_orders(
    scenario: Scenario, variables: Mapping[str, str], known: KnownDatabase, level: str
) -> tuple[int, str]:
    """Count the distinct orders that a search runs, if no step ever waits; 0 if there are too many to count.

    Also returns why all steps depend on each other, or ''. `level` is the default isolation level.
    """
    try:
        steps = {one.name: footprints(one, variables, known, level) for one in scenario.sessions}
    except Unknowable as error:
        return 0, str(error)
    dependence = Dependence()
    repeats = {one.name: one.repeat for one in scenario.sessions}
    dependence.know(steps, repeats)
    connections = actors(scenario.sessions)
    lengths = {one.name: len(one.steps) for one in scenario.sessions}
    total = {actor: lengths[actor.session] * repeats[actor.session] for actor in connections}
    frontier = Frontier(dependence=dependence)
    runs = 0
    while frontier.more:
        order = frontier.follow(connections)
        if order is None or runs >= _MOST_RUNS:
            return 0, ""
        at = dict.fromkeys(connections, 0)
        while left := [actor for actor in connections if at[actor] < total[actor]]:
            points = {}
            for actor in left:
                iteration, step_number = divmod(at[actor], lengths[actor.session])
                points[actor] = StepPoint(actor, "", iteration + 1, step_number)
            step = order.next(points, [actor for actor in connections if actor not in points])
            if not isinstance(step, StepPoint):
                return 0, ""
            at[step.actor] += 1
        frontier.learn(order.trace)
        runs += 1
    return runs, ""
