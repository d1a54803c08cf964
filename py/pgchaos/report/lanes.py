"""A run as lanes: one for each connection, with its statements, waits, faults and errors in order of time.

Plain data for all drawings of a run. Times are seconds from the beginning of the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgchaos.language.error_codes import condition_names
from pgchaos.results import STOPPED, Failure, Record, RunResult

# `wait` is a barrier or `wait for`; `fault` is the moment of a fault; `act` is any other action of the engine.
Kind: TypeAlias = Literal["statement", "wait", "fault", "act"]

# The outcome of a statement that did not simply succeed.
Mark: TypeAlias = Literal["", "error", "rolled back", "not sent", "no answer", "stopped"]


@dataclass(frozen=True, slots=True)
class LockWait:
    """A wait for a lock, within a statement."""

    on: tuple[str, ...]  # holders of the lock: connections as `session[worker]`, then descriptions of other backends
    since: float  # as precise as the lock monitor's polling
    until: float


@dataclass(frozen=True, slots=True)
class Event:
    """A statement of a connection, or an action of the engine for it between statements."""

    number: int  # in the order of time, from 0
    lane: int  # its index in `Lanes.lanes`
    kind: Kind
    record: Record
    begun: float | None  # None if it was never sent
    ended: float | None  # None if it was never sent, or did not end
    wait: LockWait | None = None
    fault: str = ""  # that was delivered at this statement
    mark: Mark = ""
    text: str = ""  # of the mark: `ERROR 40001 (serialization_failure): could not …`, or a few words
    failures: tuple[Failure, ...] = ()  # of the run, about this statement

    @property
    def sent(self) -> str:
        """The statement as sent, on one line; a fault as `fault: …`, other actions as a comment."""
        return " ".join((self.record.sent or as_written(self.record)).split())

    @property
    def took(self) -> float:
        """Seconds from the beginning to the end; 0 without either."""
        return self.record.seconds


@dataclass(frozen=True, slots=True)
class Lane:
    """One connection."""

    session: str
    worker: int
    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """As `session[worker]`."""
        return f"{self.session}[{self.worker}]"


@dataclass(frozen=True, slots=True)
class Lanes:
    """A run."""

    lanes: tuple[Lane, ...]  # in the order of the file if it is known, else of their first events
    events: tuple[Event, ...]  # of all lanes
    end: float  # of the last event
    failures: tuple[Failure, ...]  # about no event, such as those of the check

    def lane(self, name: str) -> Lane | None:
        """Find a lane by `session[worker]`."""
        return next((lane for lane in self.lanes if lane.name == name), None)


def lanes_of(result: RunResult, sessions: Iterable[str] = ()) -> Lanes:
    """Arrange the records of a run in lanes, in the order of these names; connections without records have none."""
    ordered = in_order([*result.records, *result.acts])
    ranks = {name: rank for rank, name in enumerate(sessions)}
    connections = dict.fromkeys((record.session, record.worker) for record in ordered)
    numbered = sorted(
        connections, key=lambda connection: (ranks.get(connection[0], len(ranks)), connection[1] if ranks else 0)
    )
    lane_of = {connection: number for number, connection in enumerate(numbered)}
    about, others = _failures_by_record(result.failures, ordered)
    events = tuple(
        _event(number, lane_of[record.session, record.worker], record, result.started_at, about[number])
        for number, record in enumerate(ordered)
    )
    own: defaultdict[int, list[Event]] = defaultdict(list)
    for event in events:
        own[event.lane].append(event)
    lanes = tuple(Lane(*connection, tuple(own[number])) for number, connection in enumerate(numbered))
    end = max((at for event in events for at in (event.begun, event.ended) if at is not None), default=0.0)
    return Lanes(lanes, events, end, others)


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sort by time; statements that were never sent follow the previous one of their connection."""
    latest: dict[tuple[str, int], float] = defaultdict(float)
    keyed: list[tuple[float, Record]] = []
    for record in records:
        connection = record.session, record.worker
        latest[connection] = latest[connection] if record.started_at is None else record.started_at
        keyed.append((latest[connection], record))
    return [record for _, record in sorted(keyed, key=lambda pair: pair[0])]


def _event(number: int, lane: int, record: Record, start: float, failures: tuple[Failure, ...]) -> Event:
    mark, text = outcome(record)
    begun = None if record.started_at is None else record.started_at - start
    ended = None if record.ended_at is None else record.ended_at - start
    wait = _lock_wait(record, start)
    return Event(number, lane, kind_of(record), record, begun, ended, wait, record.fault or "", mark, text, failures)


def kind_of(record: Record) -> Kind:
    """Classify a record as a statement or an action of the engine."""
    if record.step or not record.statement.startswith("--"):
        return "statement"
    text = record.statement.removeprefix("-- ")
    if text.startswith(("barrier ", "wait for ", "wait blocked ")):
        return "wait"
    return "fault" if text.startswith("fault: ") else "act"


def starts_program(record: Record) -> bool:
    """Whether a record is the start of a program."""
    return not record.step and record.statement.startswith("-- starts ")


def as_written(record: Record) -> str:
    """Return the statement as written, or the action; a fault without the `-- ` of a comment."""
    return record.statement.removeprefix("-- ") if kind_of(record) == "fault" else record.statement


def connection_of(record: Record) -> str:
    """Name the connection of a statement, as `session[worker]`."""
    return f"{record.session}[{record.worker}]"


def has_failed(record: Record) -> bool:
    """Whether a statement had an error or no answer; not if it was stopped with the run."""
    if record.skipped or kind_of(record) != "statement" or record.message == STOPPED:
        return False
    return record.sqlstate not in (None, "00000") or (record.started_at is not None and record.ended_at is None)


def lock_wait_seconds(record: Record) -> float:
    """Return how long a statement was seen waiting for locks."""
    wait = _lock_wait(record, 0.0)
    return 0.0 if wait is None else wait.until - wait.since


def _lock_wait(record: Record, start: float) -> LockWait | None:
    on = record.waited_on + record.blocked_by
    since, until = record.waited_from or record.started_at, record.waited_until
    if not on or since is None:
        return None
    return LockWait(on, since - start, max(since, until or record.ended_at or since) - start)


def outcome(record: Record) -> tuple[Mark, str]:
    """Describe the outcome of a statement that did not simply succeed; else ('', '')."""
    if record.skipped:
        return "not sent", "not sent: its transaction had already failed"
    if record.message == STOPPED or record.ended_by:
        return ("error" if record.ended_by else "stopped"), record.ended_by or STOPPED
    if record.sqlstate not in (None, "00000"):
        names = condition_names(record.sqlstate or "")
        name = f" ({', '.join(names)})" if names else ""
        message = " ".join((record.message or "").split())
        return "error", f"ERROR {record.sqlstate}{name}: {message}".rstrip(": ")
    if record.step and record.sqlstate is None and record.started_at is not None and record.ended_at is None:
        return "no answer", "no answer: it was still running"
    if record.tag == "ROLLBACK" and record.statement.lstrip()[:6].upper() in {"COMMIT", "END"}:
        return "rolled back", "rolled back: its transaction had already failed"
    return "", ""


def _failures_by_record(
    failures: Iterable[Failure], records: Sequence[Record]
) -> tuple[Mapping[int, tuple[Failure, ...]], tuple[Failure, ...]]:
    """Find the record that each failure is about: the last of its session at its line."""
    found: defaultdict[int, tuple[Failure, ...]] = defaultdict(tuple)
    others: list[Failure] = []
    for failure in failures:
        numbers = (number for number in reversed(range(len(records))) if _is_about(failure, records[number]))
        number = next(numbers, None)
        if number is None:
            others.append(failure)
        else:
            found[number] += (failure,)
    return found, tuple(others)


def _is_about(failure: Failure, record: Record) -> bool:
    place, begins = failure.place, record.place
    if place is None or failure.session != connection_of(record) or place.path != begins.path:
        return False
    # an error may name a line within its statement
    return begins.line <= place.line <= begins.line + record.statement.count("\n")
