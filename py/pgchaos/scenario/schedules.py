"""`schedule …`: how the steps of sessions interleave, held against the steps that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pgchaos.scenario.arguments import Args, Wrong
from pgchaos.scenario.model import Barrier, Place, Problem, Schedule, Session, StepName, WaitBlocked, WaitFor
from pgchaos.scenario.names import meant

USAGE = "schedule free, schedule a.1 b.1 a.2, schedule all [up to N], or schedule explore N"
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
        limit = args.count("the number of runs")
        args.end()
        return Schedule("explore", limit=limit, place=place)
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


def settled(plan: Schedule, sessions: Mapping[str, Session]) -> tuple[Schedule, list[Problem]]:
    """Hold an exact schedule against the sessions of the file.

    Args:
        plan: as written.
        sessions: those of the file, by name.

    Returns:
        The schedule with every connection and iteration filled in, and what is wrong with it.
    """
    if plan.kind != "exact" or plan.place is None:
        return plan, []
    wrong: list[str] = []
    steps: list[StepName] = []
    for step in plan.steps:
        try:
            steps.append(_filled(step, sessions))
        except Wrong as error:
            wrong.append(str(error))
    if not wrong:
        wrong = list(_order(steps, sessions.values()))
    problems = [Problem(plan.place, f"`schedule`: {text}") for text in dict.fromkeys(wrong)]
    problems += _waits(sessions.values())
    return Schedule("exact", tuple(steps), None, plan.place), problems


def held_by(steps: tuple[StepName, ...], session: Session) -> str | None:
    """Hold a mutant's session against the exact schedule of its file.

    Args:
        steps: of the schedule.
        session: of the mutant.

    Returns:
        What does not fit, or None.
    """
    own = [step for step in steps if step.session == session.name]
    needed = _steps(session)
    for step in own:
        if next(iter(_misfits([step], [session])), None):
            return f"the schedule's step `{shown(step, session)}` is not in this body"
    for step in needed:
        if step not in own:
            return f"its step `{shown(step, session)}` is not in the schedule"
    return None


def _filled(step: StepName, sessions: Mapping[str, Session]) -> StepName:
    session = sessions.get(step.session)
    if session is None:
        raise Wrong(f"there is no session `{step.session}`{meant(step.session, sessions)}")
    if not step.worker and session.count > 1:
        raise Wrong(
            f"`{step.session}` has {session.count} connections: write `{step.session}[1].{step.step}`,"
            f" `{step.session}[2].{step.step}` …"
        )
    if not step.iteration and session.repeat > 1:
        raise Wrong(f"`{step.session}` repeats: write `{step.session}.{step.step}#1`, `{step.session}.{step.step}#2` …")
    filled = StepName(step.session, step.worker or 1, step.step, step.iteration or 1)
    for text in _misfits([filled], [session]):
        raise Wrong(text)
    return filled


def _misfits(steps: Iterable[StepName], sessions: Iterable[Session]) -> Iterator[str]:
    by_name = {session.name: session for session in sessions}
    for step in steps:
        session = by_name[step.session]
        if step.step not in session.steps:
            yield f"session `{step.session}` has no step `{step.step}`{meant(step.step, session.steps)}"
        elif step.worker > session.count:
            yield f"session `{step.session}` has no connection {step.worker}, it has {session.count}"
        elif step.iteration > session.repeat:
            yield f"session `{step.session}` has no iteration {step.iteration}, it has {session.repeat}"


def _order(steps: list[StepName], sessions: Iterable[Session]) -> Iterator[str]:
    by_name = {session.name: session for session in sessions}
    seen: set[StepName] = set()
    last: dict[tuple[str, int], tuple[int, int, StepName]] = {}
    for step in steps:
        session = by_name[step.session]
        if step in seen:
            yield f"`{shown(step, session)}` is listed twice"
            return
        seen.add(step)
        at = (step.iteration, session.steps.index(step.step))
        before = last.get((step.session, step.worker))
        if before is not None and before[:2] > at:
            yield f"`{shown(step, session)}` cannot run after `{shown(before[2], session)}`, which follows it in its session"
            return
        last[step.session, step.worker] = (*at, step)
    for session in by_name.values():
        for step in _steps(session):
            if step not in seen:
                yield f"`{shown(step, session)}` is not listed; every step of every session must be"
                return


def _steps(session: Session) -> Iterator[StepName]:
    for worker in range(1, session.count + 1):
        for iteration in range(1, session.repeat + 1):
            for step in session.steps:
                yield StepName(session.name, worker, step, iteration)


def _waits(sessions: Iterable[Session]) -> list[Problem]:
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
