"""What a run leaves behind: who did what when, what was asserted, and what failed. Plain data.

Times are seconds since the epoch (`clock.now()`), counts begin at 1. The columns are those of chaos.history,
chaos.transactions and chaos.notifications.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from pgchaos.language.problems import Place

if TYPE_CHECKING:
    from pgchaos.language.assertions import Evaluated


STOPPED = "cancelled, because the run was stopped"
"""The message of a statement that ran when something else had failed: that is no error of its own."""


@dataclass(slots=True)
class Record:
    """One row of chaos.history: one statement of a session, sent or skipped.

    Args:
        session, worker, iteration, attempt: who sent it.
        step: its name in a schedule without the session.
        place: its line.
        statement: as written.
        tag: the command tag; None where there is none.
        rows: rows returned or affected; None where the tag has no number.
        sqlstate: '00000' after success, None while it runs and where it was skipped.
        message: the error's primary message.
        started_at, ended_at: when it was sent and answered; None where it was not.
        waited_on: the connections that it was seen waiting for, `session[worker]`.
        fault: the fault that struck at it.
        skipped: it belongs to the rest of a block that an allowed error ended.
        hint: the error's detail, hint and context lines for the report.
        notes: what a reader of the report wants to know of it: the variables that it set.
        sent: its text with the variables put in, where that is another than `statement`; else ''.
        blocked_by: backends that are no sessions and that it was seen waiting for; for the report alone.
        ended_by: who has cancelled it or terminated its connection, in words; '' where that is not known.
    """

    session: str
    worker: int
    iteration: int
    attempt: int
    step: str
    place: Place
    statement: str
    tag: str | None = None
    rows: int | None = None
    sqlstate: str | None = None
    message: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    waited_on: tuple[str, ...] = ()
    fault: str | None = None
    skipped: bool = False
    hint: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sent: str = ""
    blocked_by: tuple[str, ...] = ()
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of chaos.transactions: a block, or a statement outside one; where it is committed, of chaos.acknowledged.

    Args:
        session, worker, iteration, attempt: whose.
        block: it was a BEGIN … COMMIT block.
        outcome: as the session was told; unknown where the answer to its COMMIT never came.
        sqlstate: of the error that ended it, else '00000'.
        step: that ended it.
        ended_at: when its answer came.
        variables: the psql variables of the session then, put in afterwards where the scenario asks for them.
    """

    session: str
    worker: int
    iteration: int
    attempt: int
    block: bool
    outcome: Literal["committed", "rolled back", "unknown"]
    sqlstate: str | None
    step: str = ""
    ended_at: float | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Launch:
    """One step of a run that went step by step.

    Args:
        session, worker, step, iteration: which.
        waited_on: whom it was seen waiting for when the next step began, or ''.
    """

    session: str
    worker: int
    step: str
    iteration: int
    waited_on: str = ""


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
    """One assertion, of pgTAP or of chaos.assert.

    Args:
        name: its description.
        ok: whether it held, before TODO and SKIP are looked at.
        place: the statement that made it.
        directive: '', 'todo' or 'skip'.
        reason: of the directive.
        diagnostics: lines without their leading '# '.
        count: '' or, for chaos.assert, '12 of 12'.
    """

    name: str
    ok: bool
    place: Place | None
    directive: Literal["", "todo", "skip"] = ""
    reason: str = ""
    diagnostics: tuple[str, ...] = ()
    count: str = ""


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
"""`fault`: one that could not be delivered; `amcheck`: a table or index that is corrupt;
`tap`: the stream itself is broken (plan not kept, bail out); `error`: an unexpected error of a statement;
`not run`: an assertion that was never evaluated."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason why a run failed.

    Args:
        kind: what failed.
        names: what xfail and `caught by` may call it: a description, a column, SQLSTATE and condition names.
        text: one line, what is wrong.
        place: the line to look at.
        details: further lines: have and want, a server's detail, hint and context.
        session: `session[worker]` where one is concerned.
    """

    kind: FailureKind
    names: tuple[str, ...]
    text: str
    place: Place | None = None
    details: tuple[str, ...] = ()
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session stood when the run was stopped: for the report of a time-out or a wait that cannot open.

    Args:
        session: `session[worker]`; or a backend that is no session of the scenario, and waits for a lock.
        place: the statement or directive where it stood; None where it has ended or has not begun.
        doing: 'ended', 'has not begun', 'runs', 'is blocked', 'waits at barrier looked', …
        since: when that began; None where it has not begun.
        waits_for: the connections that it waits for, and foreign backends by pid and kind.
    """

    session: str
    place: Place | None
    doing: str
    since: float | None = None
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permutations:
    """How many interleavings were run.

    Args:
        run: different ones.
        failed: of these.
        exhausted: there are no others.
    """

    run: int
    failed: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search for interleavings that fail has come through.

    Args:
        runs: that were made.
        different: interleavings among these.
        exhausted: there are no others.
        preemptions: all interleavings with fewer were run.
        by_chance: runs of probabilistic concurrency testing.
        missed: the probability that these missed a bug of depth 2, at most; None where there were none.
        of: interleavings that there can be at most, where some were left out for they equal others; else 0.
        found: it ended with what it was for.
    """

    runs: int
    different: int
    exhausted: bool
    preemptions: int
    by_chance: int = 0
    missed: float | None = None
    of: int = 0
    found: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What an oracle says of a run, or of several.

    Args:
        anomalies: the names of what went wrong, each once; empty where each outcome is that of a serial order.
        decided: it could say so of each run.
        serial: how many serial runs it took.
    """

    anomalies: tuple[str, ...] = ()
    decided: bool = True
    serial: int = 0


@dataclass(slots=True)
class RunResult:
    r"""All that a run brought.

    Args:
        seed: of everything random in it.
        started_at: when setup began.
        duration: of the scenario in seconds, from setup to the end of its leak checks.
        skipped: why it was not run, or ''; of a plain pgTAP file also what it says itself, by `1..0 # SKIP why`.
        order: the steps as they went, where the run went step by step; else empty.
        permutations: where several were run, of which this tells; else None.
        explored: what a search has come through; else None.
        values: that were drawn for the variables of `given`.
        drawn: how many different ones were tried.
        shrunk: the values are the smallest that fail.
        decisions: who went on at each step, by the numbers of the connections in order of the file, from 0: what a
            token replays; None where no order is known to bring the same again.
        judged: what the oracle says, of all permutations; None where the scenario asks for none.
        standings: of all sessions, where the run was stopped; else empty.
        acts: what the engine did between statements, for the report alone: waits, delays, a ROLLBACK before a retry.
        looks, missed: of the observer.
        output: what \echo, \qecho and \warn wrote, and notices and warnings of the server, with who said it.
        log: the end of the log of the scenario's own server.
        struck: the faults `at any step` that were delivered, by the names of their choices.
        passed_by: those that were not where a search had chosen to, by the same names, and why not.
        without_fault: how the run failed that a search made once more without its faults `at any step`; '' where it
            passed, or none was made.
        outside: what has changed outside the run's schema in a database that other runs use, so that the next would not
            begin as this one did; else empty.
        notes: what the user should know besides (a retry in the tool itself, a toolkit wait that takes a snapshot).
        remarks: what the user is told of, where the run passed too.
        diagnostics: what diag() said in the check; of an assertion that failed they stand there.
        evaluated: the assertions that were evaluated: what kind, the place, and of chaos.assert the description.
        complete: sessions and check came to their end, so that what was not evaluated by then never was.
        silent: the server, or a backend of it, did not even answer a cancel: each further run could take as long.
        check: whether the check was run; '' where the scenario has none, or where it is a plain pgTAP file.
    """

    seed: int
    started_at: float = 0.0
    duration: float = 0.0
    skipped: str = ""
    records: list[Record] = field(default_factory=list)
    acts: list[Record] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    assertions: list[Assertion] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    order: list[Launch] = field(default_factory=list)
    permutations: Permutations | None = None
    explored: Explored | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    drawn: int = 0
    shrunk: bool = False
    decisions: tuple[int, ...] | None = None
    judged: Judged | None = None
    standings: list[Standing] = field(default_factory=list)
    looks: int = 0
    missed: int = 0
    output: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    struck: set[str] = field(default_factory=set)
    passed_by: dict[str, list[str]] = field(default_factory=dict)
    without_fault: str = ""
    outside: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    diagnostics: list[str] = field(default_factory=list)
    evaluated: set[Evaluated] = field(default_factory=set)
    complete: bool = False
    silent: bool = False
    check: Literal["", "skipped", "run"] = ""
    server: str = ""
