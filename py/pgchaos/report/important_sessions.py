"""Chooses the most important sessions of a run with too many to show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import nlargest

from pgchaos.language.model import Scenario, statements_in
from pgchaos.language.sql_tokens import last_part, token_at, tokenize
from pgchaos.report.lanes import Event, Lane, Lanes, LockWait
from pgchaos.results import Failure

MOST = 6  # sessions that are shown side by side
_TRIED = 4  # candidates for each shown session: runs may have hundreds
_WAITS = 3  # longest waits of a session whose lock holders are shown
_BYSTANDER = 6  # the rank of a session that explains nothing

_WRITES = frozenset({"insert", "update", "delete", "merge", "truncate", "alter", "create", "drop", "copy", "lock"})
_BEFORE_TABLE = ("into", "update", "from", "table", "only", "copy", "lock", "truncate", "on")


def choose_sessions(run: Lanes, read: Collection[str], most: int = MOST) -> tuple[Lane, ...]:
    """Choose the sessions that explain most; all if there are at most `most`.

    First the session that failed first, and those that it waited for, directly or indirectly. Then those that failed,
    had faults, waited, held locks, or wrote a table that a failed assertion reads. Each waiting session is chosen
    together with the holder of its lock, if both fit. Returns them in their original order.
    """
    if len(run.lanes) <= most:
        return run.lanes
    holders = {name for event in run.events if event.wait is not None for name in event.wait.on}
    ranks = sorted((_rank(lane, holders, read), number) for number, lane in enumerate(run.lanes))
    ordered = list(dict.fromkeys([*_failure_chain(run), *(number for _, number in ranks)]))
    waits = _longest_waits(run)
    chosen: list[int] = []
    for number in ordered[: _TRIED * most]:
        group = [] if number in chosen else _with_holders(number, chosen, waits, most)
        room = most - len(chosen)
        if len(group) <= room or not chosen:
            chosen += group[:room]
    chosen = list(dict.fromkeys([*chosen, *ordered]))[:most]
    return tuple(run.lanes[number] for number in sorted(chosen))


def _longest_waits(run: Lanes) -> list[list[tuple[LockWait, list[int]]]]:
    """Return the longest waits of each session, with the numbers of the sessions that it waited for."""
    numbers = {lane.name: number for number, lane in enumerate(run.lanes)}
    found = []
    for lane in run.lanes:
        waits = [event.wait for event in lane.events if event.wait is not None]
        longest = nlargest(_WAITS, waits, key=lambda wait: wait.until - wait.since)
        found.append([(wait, [numbers[name] for name in wait.on if name in numbers]) for wait in longest])
    return found


def _with_holders(
    number: int, chosen: Collection[int], waits: Sequence[Sequence[tuple[LockWait, list[int]]]], most: int
) -> list[int]:
    """Return a session, the holder of the lock that it waits for, and so on, without those already chosen."""
    found = [number]
    for waiter in found:
        for wait, queue in waits[waiter] if len(found) <= most else ():
            # the other sessions only wait in the queue for the same lock
            holds = [one for one in queue if not any(_overlap(other, wait) for other, _ in waits[one])]
            if (holds or queue) and not any(one in chosen or one in found for one in holds or queue):
                found.append((holds or queue)[0])
    return found


def explains_all(run: Lanes, read: Collection[str], shown: Sequence[Lane]) -> bool:
    """Return whether showing more is useless: the failure's wait chain is shown, or others are bystanders or alike."""
    numbers = {number for number, lane in enumerate(run.lanes) if lane in shown}
    chain = _failure_chain(run)
    if chain:
        return numbers.issuperset(chain)
    shown_names = {lane.session for lane in shown}
    left = [lane for number, lane in enumerate(run.lanes) if number not in numbers]
    return all(lane.session in shown_names or _rank(lane, (), read) == _BYSTANDER for lane in left)


def _failure_chain(run: Lanes) -> list[int]:
    """Return the session that failed first, those that it waited for then, those that these waited for, and so on."""
    failed = next((event for event in run.events if event.failures), None)
    if failed is None:
        return []
    found = [failed.lane]
    for number in found:
        waits = [event.wait for event in run.lanes[number].events if event.wait is not None]
        names = [name for wait in waits if number != failed.lane or wait is failed.wait for name in wait.on]
        found += [holder for holder, lane in enumerate(run.lanes) if lane.name in names and holder not in found]
    return found


def _rank(lane: Lane, holders: Collection[str], read: Collection[str]) -> int:
    """Rank how much a session explains: 0 is the most."""
    if any(event.failures for event in lane.events):
        return 0
    if any(event.fault or event.kind == "fault" for event in lane.events):
        return 1
    if any(event.mark not in ("", "stopped") for event in lane.events):
        return 2
    if any(_waits(event) for event in lane.events):
        return 3
    if lane.name in holders:
        return 4
    return 5 if any(not written_tables(event.sent).isdisjoint(read) for event in lane.events) else _BYSTANDER


def _waits(event: Event) -> bool:
    return event.wait is not None or (event.kind == "wait" and event.ended is None)


def wait_chain(run: Lanes) -> str:
    """Write in one sentence which session the failed statement waited for, and so on; '' if it did not wait."""
    failed = next((event for event in run.events if event.failures), None)
    if failed is None or failed.wait is None:
        return ""
    text, names, wait = f"{run.lanes[failed.lane].name} waited for ", [run.lanes[failed.lane].name], failed.wait
    while True:
        text += " and ".join(wait.on)
        holder = run.lane(wait.on[0])
        waits = [event.wait for event in holder.events if event.wait is not None] if holder is not None else []
        behind = [other for other in waits if _overlap(other, wait)]
        if holder is None or holder.name in names or not behind:
            return text
        names.append(holder.name)
        wait = behind[-1]
        text += ", which waited for "


def _overlap(one: LockWait, other: LockWait) -> bool:
    return one.since < other.until and other.since < one.until


def hidden_summary(run: Lanes, shown: Sequence[Lane]) -> str:
    """Summarize the hidden sessions in one line; '' if all are shown."""
    names = {lane.name for lane in shown}
    others = [lane for lane in run.lanes if lane.name not in names]
    if not others:
        return ""
    counts = {
        "failed": sum(any(event.mark not in ("", "stopped") for event in lane.events) for lane in others),
        "waited": sum(any(map(_waits, lane.events)) for lane in others),
    }
    what = [f"{count} {word}" for word, count in counts.items() if count]
    sessions = "1 more session" if len(others) == 1 else f"{len(others)} more sessions"
    sent = sum(event.kind == "statement" for lane in others for event in lane.events)
    return f"{sessions} with {sent} statements not shown: {', '.join(what) or 'none of them waited or failed'}"


def names_read_by(scenario: Scenario, failures: Iterable[Failure]) -> frozenset[str]:
    """Return the names in the statements of failed assertions: they may be tables."""
    lines = {(failure.place.path, failure.place.line) for failure in failures if failure.place is not None}
    found: set[str] = set()
    for item in statements_in(scenario.checks):
        first = item.place.line
        if any((item.place.path, line) in lines for line in range(first, first + item.text.count("\n") + 1)):
            found.update(token.text for token in tokenize(item.text) if token.is_identifier)
    return frozenset(found)


def written_tables(sql: str) -> frozenset[str]:
    """Return the tables that a statement may write, without schemas."""
    tokens = tokenize(sql)
    if not any(token.is_word(*_WRITES) for token in tokens):
        return frozenset()
    before = (at for at, token in enumerate(tokens) if token.is_word(*_BEFORE_TABLE))
    return frozenset(token_at(tokens, last_part(tokens, at + 1)).text for at in before)
