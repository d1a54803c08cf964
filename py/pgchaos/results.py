"""The result of a run: its statements, assertions and failures. Plain data.

Times are seconds since the epoch (`clock.now()`), counts begin at 1. `Record`, `Transaction` and `Notification` have
the columns of chaos.history, chaos.transactions and chaos.notifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from pgchaos.language.problems import Place

if TYPE_CHECKING:
    from pgchaos.language.section_items import Fault
    from pgchaos.language.written_assertions import Evaluated


# the message of a statement that was cancelled because something else had failed; it is not reported as an error
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
    tag: str | None = None  # the command tag, or None
    rows: int | None = None  # rows returned or affected; None if the tag has no number
    sqlstate: str | None = None  # '00000' after success; None while it runs, and if it was skipped
    message: str | None = None  # the error's primary message
    started_at: float | None = None  # when it was sent; None if it was not
    ended_at: float | None = None  # when it was answered; None if it was not
    waited_on: tuple[str, ...] = ()  # the connections that it waited for, each `session[worker]`
    # the last snapshot before it waited for a lock, and the last that showed it waiting or the first that did not any
    # more; None if it did not wait
    waited_from: float | None = None
    waited_until: float | None = None
    fault: str | None = None  # the fault that was delivered at this statement
    skipped: bool = False  # not sent, because an allowed error had ended its block
    hint: tuple[str, ...] = ()  # the error's detail, hint and context, for the report
    notes: tuple[str, ...] = ()  # the variables that it set, for the report
    sent: str = ""  # the text with the values of its variables, if it differs from `statement`; else ''
    blocked_by: tuple[str, ...] = ()  # backends of no session that it waited for, for the report
    parameters: tuple[str, ...] = ()  # of a program's request, for the report: `$1 = 'x'`, and the tags of its comment
    cells: tuple[tuple[str | None, ...], ...] = ()  # if recorded: the names of its first columns, then its first rows
    ended_by: str = ""  # what cancelled it or terminated its connection, in words; '' if unknown
    has_line: bool = True  # False for a program's request: `place` is only the line that runs the program

    @property
    def seconds(self) -> float:
        """The time from its start to its answer; 0 if it was not sent or not answered."""
        return 0.0 if self.started_at is None or self.ended_at is None else self.ended_at - self.started_at


TransactionOutcome: TypeAlias = Literal["committed", "rolled back", "unknown"]


@dataclass(slots=True)  # not frozen: there are many, and creating a frozen one takes four times as long
class Transaction:
    """One row of chaos.transactions: a BEGIN … COMMIT block, or a statement outside one."""

    session: str
    worker: int
    iteration: int
    attempt: int
    block: bool  # BEGIN … COMMIT
    outcome: TransactionOutcome  # as the session learnt it; unknown if COMMIT was never answered
    sqlstate: str | None  # of the error that ended it, else '00000'
    step: str = ""  # its last step
    ended_at: float | None = None  # when its end was answered
    variables: dict[str, str] = field(default_factory=dict)  # psql variables at its end, if the scenario reads them


@dataclass(slots=True)
class Launch:
    """One step that a schedule released."""

    session: str
    worker: int
    step: str
    iteration: int
    waited_on: str = ""  # what it waited for when the next step began, or ''


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
    """One evaluated assertion, of pgTAP or of chaos.assert."""

    name: str  # its description
    ok: bool  # without regard to TODO and SKIP
    place: Place | None  # the line of its statement
    directive: Literal["", "todo", "skip"] = ""
    reason: str = ""  # of the directive
    diagnostics: tuple[str, ...] = ()  # lines without their leading '# '
    count: str = ""  # of chaos.assert, such as '12 of 12'; else ''


# `error`: an unexpected error of a statement; `fault`: a fault that was not delivered; `amcheck`: a corrupt table or
# index; `tap`: the TAP stream itself is broken (plan, bail out); `not run`: an assertion that was never evaluated
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
    names: tuple[str, ...]  # that `xfail` and `caught by` may use: a description, a column, SQLSTATE, condition names
    text: str  # one line
    place: Place | None = None  # the line to look at
    details: tuple[str, ...] = ()  # further lines: have and want; the server's detail, hint and context
    session: str | None = None  # `session[worker]` that failed, if one did
    relation: str = ""  # the name of the table that it needs and that does not exist, as in its statement


@dataclass(frozen=True, slots=True)
class StoppedSession:
    """The state of a session when the run was stopped, for the report of a time-out or a wait that cannot end."""

    session: str  # `session[worker]`; or another backend that waits for a lock
    place: Place | None  # its statement or directive; None if it has ended or has not begun
    doing: str  # 'ended', 'has not begun', 'runs', 'is blocked', 'waits at barrier looked', …
    since: float | None = None  # None if it has not begun
    waits_for: tuple[str, ...] = ()  # connections, and other backends by pid and kind


@dataclass(frozen=True, slots=True)
class Permutations:
    """How many interleavings were run."""

    run: int  # different ones
    failed: int  # of these
    exhausted: bool  # all interleavings were run


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search for failing interleavings has covered."""

    runs: int
    different: int  # different interleavings among the runs
    exhausted: bool  # all interleavings were run
    preemptions: int  # all interleavings with fewer preemptions were run
    by_chance: int = 0  # runs of probabilistic concurrency testing
    # upper bound of the probability that these runs missed a bug of depth 2; None without such runs
    miss_probability: float | None = None
    of: int = 0  # upper bound of the possible interleavings, if equivalent ones were left out; else 0
    found: bool = False  # it ended with a finding


@dataclass(frozen=True, slots=True)
class SerialDifference:
    """One difference between a run and the nearest serial order."""

    where: str  # a statement of a connection, or a table
    serial: str  # what the serial order gives
    here: str  # what this run gave


@dataclass(frozen=True, slots=True)
class OracleResult:
    """The oracle's result for one run, or for several together."""

    anomalies: tuple[str, ...] = ()  # each name once; empty if each outcome is that of a serial order
    decided: bool = True  # the oracle could decide every run
    serial: int = 0  # the number of serial runs that it needed
    # of the first run that has no serial outcome: the serial order nearest to it, and the differences from that
    nearest: str = ""
    differences: tuple[SerialDifference, ...] = ()


@dataclass(slots=True)
class CheckResult:
    """The result of the check of a run."""

    assertions: list[Assertion] = field(default_factory=list)
    diagnostics: list[str] = field(default_factory=list)  # of diag(), without those of failed assertions
    evaluated: set[Evaluated] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    skipped: str = ""  # the reason in a plain pgTAP file's `1..0 # SKIP reason`, or ''
    state: Literal["", "skipped", "run"] = ""  # '' without a check, and for a plain pgTAP file


@dataclass(frozen=True, slots=True)
class Findings:
    """The failures and notes of one part of a run."""

    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RunResult:
    """The result of a run, grouped by the parts of the run. Callers add to it by `joined` and `replace`."""

    seed: int  # of everything random in it
    started_at: float = 0.0  # when setup began
    duration: float = 0.0  # seconds, from setup to the end of the leak checks
    server: str = ""
    skipped: str = ""  # why it was skipped, or ''; also the reason in a plain pgTAP file's `1..0 # SKIP reason`

    # for the report
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # shown with a failure, such as that pgchaos retried something
    remarks: list[str] = field(default_factory=list)  # shown even if the run passed

    # of the sessions
    records: list[Record] = field(default_factory=list)
    acts: list[Record] = field(default_factory=list)  # between statements: waits, delays, a ROLLBACK before a retry
    transactions: list[Transaction] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    output: list[str] = field(default_factory=list)  # of \echo, \qecho, \warn, and the server's notices
    order: list[Launch] = field(default_factory=list)  # the steps that a schedule released, in order
    stopped_sessions: list[StoppedSession] = field(default_factory=list)  # all sessions, if the run was stopped
    evaluations: int = 0  # evaluations of invariants
    missed: int = 0  # of these, evaluations without a result
    delivered: set[Fault] = field(default_factory=set)  # faults that were delivered
    without_effect: dict[Fault, list[str]] = field(default_factory=dict)  # faults without an effect, and why

    # of the check, and of all assertions
    assertions: list[Assertion] = field(default_factory=list)
    diagnostics: list[str] = field(default_factory=list)  # of diag(), without those of failed assertions
    evaluated: set[Evaluated] = field(default_factory=set)
    check: Literal["", "skipped", "run"] = ""  # '' without a check, and for a plain pgTAP file

    # of the end
    complete: bool = False  # sessions and check reached their end, so an assertion not evaluated yet never will be
    silent: bool = False  # the server did not even answer a cancel; each further run could take as long
    outside: tuple[str, ...] = ()  # changes outside the run's schema in a shared database, where the next run sees them
    log: list[str] = field(default_factory=list)  # lines of the server's log about this run, if they were collected

    # of a search, an oracle and a replay
    values: Mapping[str, str] = field(default_factory=dict)  # drawn for the variables of `given`
    drawn: int = 0  # how many different values were tried
    shrunk: bool = False  # the values are the smallest that fail
    # for the token: the connection at each step, by number in file order from 0; None if no order replays the run
    decisions: tuple[int, ...] | None = None
    permutations: Permutations | None = None  # if several interleavings were run
    explored: Explored | None = None
    nearest: list[Launch] = field(default_factory=list)  # the order of the passed run most similar to this failed one
    judged: OracleResult | None = None  # of all interleavings together, if the scenario has an oracle
    without_fault: str = ""  # how a failed run fails without its faults `at any step`; '' if it passes

    def joined(
        self, *, failures: Iterable[Failure] = (), notes: Iterable[str] = (), remarks: Iterable[str] = ()
    ) -> RunResult:
        """Return a copy with additional failures, notes and remarks."""
        return replace(
            self,
            failures=[*self.failures, *failures],
            notes=[*self.notes, *notes],
            remarks=[*self.remarks, *remarks],
        )
