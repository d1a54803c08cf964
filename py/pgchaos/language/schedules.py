"""Parses `schedule …`, compares it with the steps of the sessions, and counts interleavings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from pgchaos.language.arguments import SESSION_PATTERN, Args
from pgchaos.language.header_model import Schedule, StepName
from pgchaos.language.model import Session
from pgchaos.language.problems import Problem
from pgchaos.language.section_items import Barrier, WaitBlocked, WaitFor
from pgchaos.language.suggestions import suggest

MOST = 5000
"""The maximum number of interleavings of `schedule all` without `up to`."""
COUNTED = 10**12
"""Interleavings are counted up to this number, for messages."""

_Positions: TypeAlias = Mapping[str, Mapping[str, int]]  # of steps in their session, by session and step

_STEP = re.compile(rf"{SESSION_PATTERN}\.([\w-]+)(?:#([1-9][0-9]{{0,8}}))?")


def parse_schedule(args: Args) -> Schedule:
    """Parse a schedule; `resolve` compares its steps with the sessions."""
    if args.accept("free"):
        args.end()
        return Schedule("free", place=args.place)
    if args.accept("all"):
        limit = None
        if args.accept("up"):
            args.expect("to")
            limit = args.count("the number of interleavings")
        args.end()
        return Schedule("all", limit=limit, place=args.place)
    if args.accept("explore"):
        limit, values = args.count("the number of runs"), None
        if args.accept("with"):
            values = args.count("the number of values")
            args.expect("values")
        args.end()
        if values is not None and values > limit:
            raise args.error(f"{limit} runs are too few for {values} values, each of which takes at least one")
        return Schedule("explore", limit=limit, place=args.place, values=values)
    steps = tuple(_step(args, number) for number in range(len(args.tokens)))
    if not steps:
        raise args.error("the steps are missing")
    return Schedule("exact", steps, place=args.place)


def _step(args: Args, number: int) -> StepName:
    token = args.take("a step")
    found = None if token.quoted else _STEP.fullmatch(token.text)
    if found is None:
        near = suggest(token.text, ("free", "all", "explore")) if number == 0 and "." not in token.text else ""
        raise args.error(f"`{token}` is not a step", near if "did you mean" in near else "")
    return StepName(found[1], int(found[2] or 0), found[3], int(found[4] or 0))


def format_step(step: StepName, session: Session) -> str:
    """Format a step as in a schedule: `a.1`, or `a[2].1#3` with several connections and iterations."""
    worker = f"[{step.worker}]" if session.count > 1 else ""
    iteration = f"#{step.iteration}" if session.repeat > 1 else ""
    return f"{step.session}{worker}.{step.step}{iteration}"


# counting


def count_interleavings(lengths: Iterable[int], most: int) -> int:
    """Count the ways to interleave sequences of these lengths: their multinomial coefficient.

    The number may have millions of digits. If it is greater than `most`, some number greater than `most` is returned.
    """
    number, total = 1, 0
    for length in lengths:
        # the members of one more sequence are inserted between those of the previous sequences
        for member in range(1, min(total, length) + 1):
            number = number * (total + length + 1 - member) // member
            if number > most:
                return number
        total += length
    return number


def interleavings(sessions: Iterable[Session], most: int) -> int:
    """Count the interleavings of sessions as if none waited; `most` is as for `count_interleavings`."""
    return count_interleavings((length for session in sessions for length in _lengths(session)), most)


def _lengths(session: Session) -> Iterable[int]:
    length = len(session.steps) * session.repeat
    return itertools.repeat(length, session.count) if length else ()


def too_many_interleavings(schedule: Schedule, sessions: Iterable[Session]) -> str | None:
    """Return a message if `schedule all` has too many interleavings, else None."""
    if schedule.kind != "all" or schedule.limit is not None:
        return None
    number = interleavings(sessions, COUNTED)
    if number <= MOST:
        return None
    many = f"{number:,}" if number <= COUNTED else f"more than {COUNTED:,}"
    return (
        f"`schedule`: the steps have {many} interleavings, more than {MOST:,}: write `schedule all up to {MOST}`,"
        " or put statements that need no interruption under one `step NAME`"
    )


# comparing with the sessions


def resolve(schedule: Schedule, sessions: Mapping[str, Session]) -> tuple[Schedule, list[Problem]]:
    """Return the schedule with the connection and iteration of each step, and the problems of its steps."""
    if schedule.place is None:
        return schedule, []
    if schedule.kind != "exact":
        text = too_many_interleavings(schedule, sessions.values())
        return schedule, [] if text is None else [Problem(schedule.place, text)]
    positions = {name: _positions(session) for name, session in sessions.items()}
    wrong = [text for text in (_unknown_step(step, sessions, positions) for step in schedule.steps) if text is not None]
    steps = tuple(StepName(one.session, one.worker or 1, one.step, one.iteration or 1) for one in schedule.steps)
    if not wrong:
        wrong = list(_wrong_order(steps, sessions, positions))
    problems = [Problem(schedule.place, f"`schedule`: {text}") for text in dict.fromkeys(wrong)]
    problems += refused_waits(sessions.values())
    return Schedule("exact", steps, None, schedule.place), problems


def steps_by_session(steps: Iterable[StepName]) -> dict[str, list[StepName]]:
    """Group the steps of a schedule by their sessions."""
    groups: dict[str, list[StepName]] = {}
    for step in steps:
        groups.setdefault(step.session, []).append(step)
    return groups


def mutant_mismatch(steps: Sequence[StepName], session: Session) -> str | None:
    """Compare a mutant's session with its steps in the exact schedule of the file; return a difference or None."""
    positions = {session.name: _positions(session)}
    for step in steps:
        if _unknown_step(step, {session.name: session}, positions) is not None:
            return f"the schedule's step `{format_step(step, session)}` is not in this body"
    listed = frozenset(steps)
    for step in _all_steps(session):
        if step not in listed:
            return f"its step `{format_step(step, session)}` is not in the schedule"
    return None


def refused_waits(sessions: Iterable[Session]) -> list[Problem]:
    """Return a problem for each wait, because an exact schedule allows none."""
    words = {Barrier: "barrier", WaitBlocked: "wait blocked", WaitFor: "wait for"}
    return [
        Problem(
            item.place,
            f"`{words[type(item)]}` cannot be used with an exact schedule, which itself says which session waits",
        )
        for session in sessions
        for item in session.items
        if isinstance(item, Barrier | WaitBlocked | WaitFor)
    ]


def _positions(session: Session) -> dict[str, int]:
    return {step: at for at, step in enumerate(session.steps)}


def _unknown_step(step: StepName, sessions: Mapping[str, Session], positions: _Positions) -> str | None:
    name = step.session
    session = sessions.get(name)
    if session is None:
        return f"there is no session `{name}`{suggest(name, sessions)}"
    if step.step not in positions[name]:
        return f"session `{name}` has no step `{step.step}`{suggest(step.step, session.steps)}"
    if not step.worker and session.count > 1:
        return f"`{name}` has {session.count} connections: write `{name}[1].{step.step}`, `{name}[2].{step.step}` …"
    if not step.iteration and session.repeat > 1:
        return f"`{name}` repeats: write `{name}.{step.step}#1`, `{name}.{step.step}#2` …"
    if step.worker > session.count:
        return f"session `{name}` has no connection {step.worker}, it has {session.count}"
    if step.iteration > session.repeat:
        return f"session `{name}` has no iteration {step.iteration}, it has {session.repeat}"
    return None


def _wrong_order(steps: Iterable[StepName], sessions: Mapping[str, Session], positions: _Positions) -> Iterator[str]:
    """Yield a message about the first step that is listed twice or too early, or else about a missing step."""
    seen: set[StepName] = set()
    last: dict[tuple[str, int], tuple[tuple[int, int], StepName]] = {}
    for step in steps:
        session = sessions[step.session]
        if step in seen:
            yield f"`{format_step(step, session)}` is listed twice"
            return
        seen.add(step)
        at = (step.iteration, positions[step.session][step.step])
        before, earlier = last.get((step.session, step.worker), (at, step))
        if before > at:
            first, second = format_step(step, session), format_step(earlier, session)
            yield f"`{first}` comes before `{second}` in its session, not after it"
            return
        last[step.session, step.worker] = (at, step)
    for session in sessions.values():
        missing = next((step for step in _all_steps(session) if step not in seen), None)
        if missing is not None:
            yield f"`{format_step(missing, session)}` is not listed; every step of every session must be"
            return


def _all_steps(session: Session) -> Iterator[StepName]:
    for worker in range(1, session.count + 1):
        for iteration in range(1, session.repeat + 1):
            for step in session.steps:
                yield StepName(session.name, worker, step, iteration)
