"""What the sessions of a run and their monitors report; the fields are those of `RunResult`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgchaos.results import Failure, Launch, Notification, Record, StoppedSession, Transaction

if TYPE_CHECKING:
    from pgchaos.language.section_items import Fault
    from pgchaos.language.written_assertions import Evaluated


@dataclass(slots=True)
class SessionLog:
    """What they report while they run, in the order of events."""

    records: list[Record] = field(default_factory=list)
    acts: list[Record] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    evaluated: set[Evaluated] = field(default_factory=set)  # by `expect`
    stopped_sessions: list[StoppedSession] = field(default_factory=list)
    keeps_rows: bool = False  # a record has the first rows that its statement returned
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SessionsResult:
    """The results of the sessions."""

    log: SessionLog = field(default_factory=SessionLog)
    order: list[Launch] = field(default_factory=list)
    evaluations: int = 0
    missed: int = 0
    delivered: set[Fault] = field(default_factory=set)
    without_effect: dict[Fault, list[str]] = field(default_factory=dict)
