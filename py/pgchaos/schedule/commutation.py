"""Whether two steps may change places, and whether two runs of one schedule went the same way. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from pgchaos.language.problems import Place
from pgchaos.results import Record
from pgchaos.schedule.footprint import Dependence, Footprint
from pgchaos.schedule.step_points import Choice

_Told = tuple[object, ...]


def difference(
    first: Iterable[Record], second: Iterable[Record], again: str = "by the same schedule"
) -> tuple[str, Place | None] | None:
    """Find the first statement that went another way in a second run.

    Args:
        first: what the first run recorded.
        second: what the second did.
        again: how it was made.

    Returns:
        What was different, and the place of the statement; None where nothing was. Times, and values that are not
        taken into variables, do not count.
    """
    one, other = _in_order(first), _in_order(second)
    for before, after in zip(one, other, strict=False):
        if _told(before) != _told(after):
            return f"not deterministic: {_said(before)}; then, {again}, {_said(after)}", before.place
    if len(one) != len(other):
        longer = one if len(one) > len(other) else other
        extra = longer[min(len(one), len(other))]
        return f"not deterministic: only one of two runs came to {_said(extra)}, the second {again}", extra.place
    return None


def _in_order(records: Iterable[Record]) -> list[Record]:
    # statements of different connections that began at nearly the same time have no order of their own
    return sorted(records, key=lambda it: (it.session, it.worker, it.iteration))


def _told(record: Record) -> _Told:
    who = (record.session, record.worker, record.iteration, record.attempt, record.step, record.statement)
    what = (record.tag, record.rows, record.sqlstate, frozenset(record.waited_on), record.notes, record.skipped)
    return (*who, *what)


def _said(record: Record) -> str:
    name = f"{record.session}[{record.worker}].{record.step}"
    told = []
    if record.attempt > 1:
        told.append(f"attempt {record.attempt}")
    if record.waited_on:
        told.append("waited for " + ", ".join(record.waited_on))
    if record.skipped:
        told.append("was not sent")
    elif record.sqlstate not in (None, "00000"):
        told.append(f"failed with {record.sqlstate}")
    elif record.tag is not None:
        told.append(f"gave {record.tag}")
    told += record.notes
    return f"{name} {', '.join(told)}" if told else name


def commuting(trace: Sequence[Choice], dependence: Dependence, chance: random.Random) -> int | None:
    """Choose two neighbouring steps that a search takes for independent.

    Args:
        trace: the decisions of a run.
        dependence: of the steps.
        chance: chooses, where there are several.

    Returns:
        The number of the first of the two, from 0; None where there are none. Steps while somebody waits do not count:
        who waits orders them.
    """
    if not dependence.known:
        return None
    found = [at for at in range(len(trace) - 1) if _commute(trace, at, dependence)]
    return chance.choice(found) if found else None


def _commute(trace: Sequence[Choice], at: int, dependence: Dependence) -> bool:
    one, other = trace[at], trace[at + 1]
    if one.taken == other.taken or other.taken not in one.ready or any(it.waiting for it in trace[at : at + 3]):
        return False
    return _touched(one, dependence).independent(_touched(other, dependence))


def _touched(choice: Choice, dependence: Dependence) -> Footprint:
    return dependence.of(choice.taken, choice.positions[choice.ready.index(choice.taken)])
