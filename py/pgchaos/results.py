"""The result of a run: its statements, assertions and failures. Plain data.

Times are seconds since the epoch (`clock.now()`), counts begin at 1. The columns are those of chaos.history,
chaos.transactions and chaos.notifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from pgchaos.language.problems import Place

if TYPE_CHECKING:
    from pgchaos.language.section_items import Fault
    from pgchaos.language.written_assertions import Evaluated


# the message of a statement that was cancelled because something else had failed: not an error of its own
STOPPED = "cancelled, because the run was stopped"


@dataclass(slots=True)
class Record:
    """One row of chaos.history: one statement of a session, sent or skipped."""

    session: str
    worker: int
    iteration: int
    attempt: int
    step: str  # as in a schedule, without the session
    place: Place
    statement: str  # as written
    tag: str | None = None  # the command tag; None without one
    rows: int | None = None  # returned or affected; None where the tag has no number
    sqlstate: str | None = None  # '00000' after success; None while it runs, and where it was skipped
    message: str | None = None  # the error's primary message
    started_at: float | None = None  # sent and answered; None where it was not
    ended_at: float | None = None
    waited_on: tuple[str, ...] = ()  # connections that it was seen waiting for, `session[worker]`
    waited_from: float | None = None  # when it was last seen before it waited for a lock; None where it did not wait
    waited_until: float | None = None  # when it was last seen waiting, or first seen not to wait any more
    fault: str | None = None  # that was delivered at this statement
    skipped: bool = False  # the rest of a block that an allowed error ended
    hint: tuple[str, ...] = ()  # the error's detail, hint and context, for the report
    notes: tuple[str, ...] = ()  # for the report: the variables that it set
    sent: str = ""  # the text with variables filled in, where it differs from `statement`; else ''
    blocked_by: tuple[str, ...] = ()  # other backends that it was seen waiting for, for the report
    parameters: tuple[str, ...] = ()  # for the report, of a program's request: `$1 = 'x'`, and the tags of its comment
    cells: tuple[tuple[str | None, ...], ...] = ()  # the names of its first columns, then its first rows, where kept
    ended_by: str = ""  # what cancelled it or terminated its connection, in words; '' where unknown
    has_line: bool = True  # false: its place is only the line that runs the program that did it


@dataclass(slots=True)  # not frozen: every transaction has one, and to make a frozen one takes four times as long
class Transaction:
    """One row of chaos.transactions (committed: of chaos.acknowledged): a block, or a statement outside one."""

    session: str
    worker: int
    iteration: int
    attempt: int
    block: bool  # BEGIN … COMMIT
    # as reported to the session; unknown where COMMIT was never answered
    outcome: Literal["committed", "rolled back", "unknown"]
    sqlstate: str | None  # of the error that ended it, else '00000'
    step: str = ""  # the last one
    ended_at: float | None = None  # when it was answered
    variables: dict[str, str] = field(default_factory=dict)  # of psql, at its end, where the scenario asks for them


@dataclass(slots=True)
class Launch:
    """One step of a run that went step by step."""

    session: str
    worker: int
    step: str
    iteration: int
    waited_on: str = ""  # what it was waiting for when the next step began, or ''


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of chaos.notifications."""

    session: str
    worker: int
    channel: str
    payload: str
    received_at: float


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assertion, of pgTAP or of chaos.assert."""

    name: str  # its description
    ok: bool  # before TODO and SKIP are applied
    place: Place | None  # of its statement
    directive: Literal["", "todo", "skip"] = ""
    reason: str = ""  # of the directive
    diagnostics: tuple[str, ...] = ()  # lines without their leading '# '
    count: str = ""  # of chaos.assert, '12 of 12'; else ''


# `error`: an unexpected error of a statement; `fault`: it could not be delivered; `amcheck`: a corrupt table or index;
# `tap`: the stream itself is broken (plan, bail out); `not run`: an assertion that was never evaluated
FailureKind: TypeAlias = Literal[
    "assertion",
    "expect",
    "error",
    "invariant",
    "oracle",
    "wait",
    "leak",
    "timeout",
    "fault",
    "amcheck",
    "tap",
    "not run",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason why a run failed."""

    kind: FailureKind
    names: tuple[str, ...]  # for xfail and `caught by`: a description, a column, SQLSTATE and condition names
    text: str  # one line
    place: Place | None = None  # the line to look at
    details: tuple[str, ...] = ()  # further lines: have and want; a server's detail, hint and context
    session: str | None = None  # `session[worker]`, where it is about one


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a session when the run was stopped, for the report of a time-out or a wait that cannot end."""

    session: str  # `session[worker]`; or another backend that waits for a lock
    place: Place | None  # its statement or directive; None where it has ended or has not begun
    doing: str  # 'ended', 'has not begun', 'runs', 'is blocked', 'waits at barrier looked', …
    since: float | None = None  # None where it has not begun
    waits_for: tuple[str, ...] = ()  # connections, and other backends by pid and kind


@dataclass(frozen=True, slots=True)
class Permutations:
    """How many interleavings were run."""

    run: int  # different ones
    failed: int  # of these
    exhausted: bool  # there are no others


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search for failing interleavings has covered."""

    runs: int
    different: int  # interleavings among the runs
    exhausted: bool  # there are no others
    preemptions: int  # all interleavings with fewer were run
    by_chance: int = 0  # runs of probabilistic concurrency testing
    missed: float | None = None  # the probability, at most, that these missed a bug of depth 2; None without such runs
    of: int = 0  # possible interleavings at most, where equivalent ones were left out; else 0
    found: bool = False  # it ended with a finding


@dataclass(frozen=True, slots=True)
class Compared:
    """One difference between a run and the nearest serial order."""

    where: str  # a statement of a connection, or a table
    serial: str  # what the serial order gives
    here: str  # what this run gave


@dataclass(frozen=True, slots=True)
class Judged:
    """What an oracle says of a run, or of several."""

    anomalies: tuple[str, ...] = ()  # each name once; empty where each outcome is that of a serial order
    decided: bool = True  # it could judge every run
    serial: int = 0  # serial runs that it took
    nearest: str = ""  # the serial order nearest to the first run that has no serial outcome
    differences: tuple[Compared, ...] = ()  # of that run and that order


@dataclass(slots=True)
class CheckResult:
    """What the check of a run reports."""

    assertions: list[Assertion] = field(default_factory=list)
    diagnostics: list[str] = field(default_factory=list)  # of diag(), without those of failed assertions
    evaluated: set[Evaluated] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    skipped: str = ""  # of a plain pgTAP file, by `1..0 # SKIP why`
    state: Literal["", "skipped", "run"] = ""  # '' without a check, and of a plain pgTAP file


@dataclass(frozen=True, slots=True)
class Findings:
    """What one part of a run has found."""

    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RunResult:
    """The result of a run, in the parts that make it; what runs around it add comes by `joined` and `replace`."""

    seed: int  # of everything random in it
    started_at: float = 0.0  # when setup began
    duration: float = 0.0  # seconds, from setup to the end of the leak checks
    server: str = ""
    skipped: str = ""  # the reason, or ''; of a plain pgTAP file also its own, by `1..0 # SKIP why`

    # for people
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # with a failure, such as that the tool retried something
    remarks: list[str] = field(default_factory=list)  # also where the run passed

    # of the sessions
    records: list[Record] = field(default_factory=list)
    acts: list[Record] = field(default_factory=list)  # between statements: waits, delays, a ROLLBACK before a retry
    transactions: list[Transaction] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    output: list[str] = field(default_factory=list)  # of \echo, \qecho, \warn, and the server's notices
    order: list[Launch] = field(default_factory=list)  # of a run that went step by step
    standings: list[Standing] = field(default_factory=list)  # of all sessions, where the run was stopped
    evaluations: int = 0  # of the invariant monitor
    missed: int = 0
    struck: set[Fault] = field(default_factory=set)  # faults that were delivered
    passed_by: dict[Fault, list[str]] = field(default_factory=dict)  # those that nobody felt, or that passed a step by

    # of the check, and of all assertions
    assertions: list[Assertion] = field(default_factory=list)
    diagnostics: list[str] = field(default_factory=list)  # of diag(), without those of failed assertions
    evaluated: set[Evaluated] = field(default_factory=set)
    check: Literal["", "skipped", "run"] = ""  # '' without a check, and of a plain pgTAP file

    # of the end
    complete: bool = False  # sessions and check reached their end: what was not evaluated never was
    silent: bool = False  # the server did not even answer a cancel: each further run could take as long
    outside: tuple[str, ...] = ()  # changed outside the run's schema in a shared database, where the next run finds it
    log: list[str] = field(
        default_factory=list
    )  # of the scenario's own server the last lines; where files ask, those of its database

    # of a search, an oracle and a replay
    values: Mapping[str, str] = field(default_factory=dict)  # drawn for the variables of `given`
    drawn: int = 0  # how many different ones were tried
    shrunk: bool = False  # the values are the smallest that fail
    # for a token, the connection at each step, by number in file order from 0; None where no order replays the run
    decisions: tuple[int, ...] | None = None
    permutations: Permutations | None = None  # where several were run
    explored: Explored | None = None
    nearest: list[Launch] = field(default_factory=list)  # of the runs that passed, the order most like this failed one
    judged: Judged | None = None  # of all permutations, where the scenario asks for an oracle
    without_fault: str = ""  # how a failed run fails without its faults `at any step`; '' where it passes

    def joined(
        self, *, failures: Iterable[Failure] = (), notes: Iterable[str] = (), remarks: Iterable[str] = ()
    ) -> RunResult:
        """Return a result with more failures, notes and remarks; this one does not change."""
        return replace(
            self,
            failures=[*self.failures, *failures],
            notes=[*self.notes, *notes],
            remarks=[*self.remarks, *remarks],
        )
