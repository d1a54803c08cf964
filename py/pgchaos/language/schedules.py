"""`schedule …`: how the steps of sessions interleave, held against the steps that there are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from pgchaos.language.arguments import Args
from pgchaos.language.header_model import Schedule, StepName
from pgchaos.language.model import Session
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_items import Barrier, WaitBlocked, WaitFor
from pgchaos.language.suggestions import meant


def interleaved(lengths: Iterable[int], most: int) -> int:
    """Count the ways to interleave sequences.

    Args:
        lengths: of the sequences.
        most: how far to count: the number itself may have millions of digits.

    Returns:
        The multinomial coefficient of the lengths, or some number greater than `most` where it is greater.
    """
    number, before = 1, 0
    for length in lengths:
        # the members of one more sequence are put between those that were there
        for place in range(1, min(before, length) + 1):
            number = number * (before + length + 1 - place) // place
            if number > most:
                return number
        before += length
    return number


MOST = 5000
"""Interleavings that a file may ask for without `up to` (LANGUAGE.md, Head)."""
COUNTED = 10**12
"""How far interleavings are counted for a message."""

_Places: TypeAlias = Mapping[str, Mapping[str, int]]

USAGE = "schedule free, schedule a.1 b.1 a.2, schedule all [up to N], or schedule explore N [with M values]"
_STEP = re.compile(r"([^\W\d][\w-]*)(?:\[([1-9][0-9]{0,8})\])?\.([\w-]+)(?:#([1-9][0-9]{0,8}))?")


def shown(step: StepName, session: Session) -> str:
    """Write a step as a schedule does.

    Args:
        step: its name.
        session: that it is of.

    Returns:
        `a.1`, `a[2].1` where the session has several connections, `a.1#3` where it repeats.
    """
    worker = f"[{step.worker}]" if session.count > 1 else ""
    iteration = f"#{step.iteration}" if session.repeat > 1 else ""
    return f"{step.session}{worker}.{step.step}{iteration}"


def schedule(text: str, place: Place) -> Schedule:
    """Read a schedule.

    Args:
        text: what stands behind `schedule`.
        place: of the directive.

    Returns:
        The schedule; its steps are not yet held against the sessions.

    Raises:
        Wrong: it cannot be understood.
    """
    args = Args("schedule", text, USAGE)
    if args.took("free"):
        args.end()
        return Schedule("free", place=place)
    if args.took("all"):
        limit = None
        if args.took("up"):
            args.need("to")
            limit = args.count("the number of interleavings")
        args.end()
        return Schedule("all", limit=limit, place=place)
    if args.took("explore"):
        limit, values = args.count("the number of runs"), None
        if args.took("with"):
            values = args.count("the number of values")
            args.need("values")
        args.end()
        if values is not None and values > limit:
            raise args.wrong(f"{limit} runs are too few for {values} values, of which each takes at least one")
        return Schedule("explore", limit=limit, place=place, values=values)
    steps = tuple(_step(args) for _ in range(len(args.tokens)))
    if not steps:
        raise args.wrong("the steps are missing")
    return Schedule("exact", steps, place=place)


def _step(args: Args) -> StepName:
    token = args.take("a step")
    found = None if token.quoted else _STEP.fullmatch(token.text)
    if found is None:
        near = meant(token.text, ("free", "all", "explore")) if args.at == 1 and "." not in token.text else ""
        hint = near if "did you mean" in near else ""
        raise args.wrong(f"`{token}` is no step{hint}")
    return StepName(found[1], int(found[2] or 0), found[3], int(found[4] or 0))


def interleavings(sessions: Iterable[Session], most: int) -> int:
    """Count the interleavings that the steps of sessions could have if none ever waited.

    Args:
        sessions: of a scenario.
        most: how far to count; the number itself has thousands of digits where a session repeats.

    Returns:
        The multinomial coefficient of the numbers of steps of all connections, or a number greater than `most`.
    """
    return interleaved((length for session in sessions for length in _lengths(session)), most)


def _lengths(session: Session) -> Iterable[int]:
    length = len(session.steps) * session.repeat
    return itertools.repeat(length, session.count) if length else ()


def too_many(plan: Schedule, sessions: Iterable[Session]) -> str | None:
    """Say whether `schedule all` would run more than anybody can have meant.

    Args:
        plan: of the file.
        sessions: of the file, or those with a mutant's in their place.

    Returns:
        What is wrong, or None.
    """
    if plan.kind != "all" or plan.limit is not None:
        return None
    number = interleavings(sessions, COUNTED)
    if number <= MOST:
        return None
    many = f"{number:,}" if number <= COUNTED else f"more than {COUNTED:,}"
    return (
        f"`schedule`: the steps have {many} interleavings, more than {MOST:,}: write `schedule all up to {MOST}`,"
        " or put statements that need not be parted under one `step NAME`"
    )


def settled(plan: Schedule, sessions: Mapping[str, Session]) -> tuple[Schedule, list[Problem]]:
    """Hold an exact schedule against the sessions of the file.

    Args:
        plan: as written.
        sessions: those of the file, by name.

    Returns:
        The schedule with every connection and iteration filled in, and what is wrong with it.
    """
    if plan.place is None:
        return plan, []
    if plan.kind != "exact":
        text = too_many(plan, sessions.values())
        return plan, [] if text is None else [Problem(plan.place, text)]
    places = {name: _places(session) for name, session in sessions.items()}
    wrong = [text for text in (_misfit(step, sessions, places) for step in plan.steps) if text is not None]
    steps = tuple(StepName(one.session, one.worker or 1, one.step, one.iteration or 1) for one in plan.steps)
    if not wrong:
        wrong = list(_order(steps, sessions, places))
    problems = [Problem(plan.place, f"`schedule`: {text}") for text in dict.fromkeys(wrong)]
    problems += waits(sessions.values())
    return Schedule("exact", steps, None, plan.place), problems


def by_session(steps: Iterable[StepName]) -> dict[str, list[StepName]]:
    """Part the steps of a schedule by their sessions."""
    parted: dict[str, list[StepName]] = {}
    for step in steps:
        parted.setdefault(step.session, []).append(step)
    return parted


def held_by(own: Sequence[StepName], session: Session) -> str | None:
    """Hold a mutant's session against the exact schedule of its file.

    Args:
        own: the steps of the schedule that are of this session.
        session: of the mutant.

    Returns:
        What does not fit, or None.
    """
    places = {session.name: _places(session)}
    for step in own:
        if _misfit(step, {session.name: session}, places) is not None:
            return f"the schedule's step `{shown(step, session)}` is not in this body"
    listed = frozenset(own)
    for step in _steps(session):
        if step not in listed:
            return f"its step `{shown(step, session)}` is not in the schedule"
    return None


def _places(session: Session) -> dict[str, int]:
    """Number the steps of a session."""
    return {step: at for at, step in enumerate(session.steps)}


def _misfit(step: StepName, sessions: Mapping[str, Session], places: _Places) -> str | None:
    name = step.session
    session = sessions.get(name)
    if session is None:
        return f"there is no session `{name}`{meant(name, sessions)}"
    if step.step not in places[name]:
        return f"session `{name}` has no step `{step.step}`{meant(step.step, session.steps)}"
    if not step.worker and session.count > 1:
        return f"`{name}` has {session.count} connections: write `{name}[1].{step.step}`, `{name}[2].{step.step}` …"
    if not step.iteration and session.repeat > 1:
        return f"`{name}` repeats: write `{name}.{step.step}#1`, `{name}.{step.step}#2` …"
    if step.worker > session.count:
        return f"session `{name}` has no connection {step.worker}, it has {session.count}"
    if step.iteration > session.repeat:
        return f"session `{name}` has no iteration {step.iteration}, it has {session.repeat}"
    return None


def _order(steps: Iterable[StepName], sessions: Mapping[str, Session], places: _Places) -> Iterator[str]:
    seen: set[StepName] = set()
    last: dict[tuple[str, int], tuple[tuple[int, int], StepName]] = {}
    for step in steps:
        session = sessions[step.session]
        if step in seen:
            yield f"`{shown(step, session)}` is listed twice"
            return
        seen.add(step)
        at = (step.iteration, places[step.session][step.step])
        before, earlier = last.get((step.session, step.worker), (at, step))
        if before > at:
            yield f"`{shown(step, session)}` comes before `{shown(earlier, session)}` in its session, not after it"
            return
        last[step.session, step.worker] = (at, step)
    for session in sessions.values():
        missing = next((step for step in _steps(session) if step not in seen), None)
        if missing is not None:
            yield f"`{shown(missing, session)}` is not listed; every step of every session must be"
            return


def _steps(session: Session) -> Iterator[StepName]:
    for worker in range(1, session.count + 1):
        for iteration in range(1, session.repeat + 1):
            for step in session.steps:
                yield StepName(session.name, worker, step, iteration)


def waits(sessions: Iterable[Session]) -> list[Problem]:
    """Find the waits that an exact schedule refuses.

    Args:
        sessions: of the file or of a mutant.

    Returns:
        A problem for each.
    """
    words = {Barrier: "barrier", WaitBlocked: "wait blocked", WaitFor: "wait for"}
    return [
        Problem(
            item.place,
            f"`{words[type(item)]}` cannot stand under an exact schedule, which itself says who waits",
        )
        for session in sessions
        for item in session.items
        if isinstance(item, Barrier | WaitBlocked | WaitFor)
    ]
