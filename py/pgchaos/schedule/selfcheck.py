"""Compares two runs of one schedule, and chooses two steps whose commutation is tested. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from pgchaos.language.problems import Place
from pgchaos.results import Record
from pgchaos.schedule.footprint import Dependence, Footprint
from pgchaos.schedule.step_points import Choice

_Facts = tuple[object, ...]


def difference(
    first: Iterable[Record], second: Iterable[Record], again: str = "by the same schedule"
) -> tuple[str, Place | None] | None:
    """Find the first statement that differs between two runs; times and values are not compared.

    Args:
        first: the statements of the first run.
        second: the statements of the second run.
        again: how the second run was made, for the message.

    Returns:
        A message and the line; None if both did the same.
    """
    one, other = _in_order(first), _in_order(second)
    for before, after in zip(one, other, strict=False):
        if _facts(before) != _facts(after):
            return f"not deterministic: {_description(before)}; then, {again}, {_description(after)}", before.place
    if len(one) != len(other):
        longer = one if len(one) > len(other) else other
        extra = longer[min(len(one), len(other))]
        return f"not deterministic: only one of two runs reached {_description(extra)}, the second {again}", extra.place
    return None


def _in_order(records: Iterable[Record]) -> list[Record]:
    # statements of different connections that began at nearly the same time have no defined order
    return sorted(records, key=lambda it: (it.session, it.worker, it.iteration))


def _facts(record: Record) -> _Facts:
    step = (record.session, record.worker, record.iteration, record.attempt, record.step, record.statement)
    what = (record.tag, record.rows, record.sqlstate, frozenset(record.waited_on), record.notes, record.skipped)
    return (*step, *what)


def _description(record: Record) -> str:
    name = f"{record.session}[{record.worker}].{record.step}"
    did = []
    if record.attempt > 1:
        did.append(f"attempt {record.attempt}")
    if record.waited_on:
        did.append("waited for " + ", ".join(record.waited_on))
    if record.skipped:
        did.append("was not sent")
    elif record.sqlstate not in (None, "00000"):
        did.append(f"failed with {record.sqlstate}")
    elif record.tag is not None:
        did.append(f"gave {record.tag}")
    did += record.notes
    return f"{name} {', '.join(did)}" if did else name


def commuting(trace: Sequence[Choice], dependence: Dependence, chance: random.Random) -> int | None:
    """Choose two neighbouring steps of a run that a search considers independent.

    Returns:
        The number of the first step, from 0; None if there are none. Steps next to a wait are not chosen, because the
        wait orders them.
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
