"""Whether two runs of one schedule went the same way. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pgchaos.history import Record
from pgchaos.scenario.place import Place

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
