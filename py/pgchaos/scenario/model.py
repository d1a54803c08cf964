"""What a scenario says. The reader makes these; everyone else only reads them.

Everything here is frozen. Times are in seconds, counts begin at 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias


class Place(NamedTuple):
    """A line of a file, as a user is told of it.

    Args:
        path: the file, as it is shown.
        line: its line, from 1.
    """

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a file: where, what is wrong, what was meant."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ScenarioError(Exception):
    """A file that is no scenario.

    Args:
        problems: everything that is wrong with it, in order of line.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class When:
    """`… when NAME = value or value`: the directive counts for these values of a matrix only."""

    name: str
    values: tuple[str, ...]


def holds(when: When | None, variables: Mapping[str, str]) -> bool:
    """Say whether a directive counts.

    Args:
        when: that ends its line; None for one that counts always.
        variables: the values of the matrix for this item.

    Returns:
        True where the named variable has one of the values.
    """
    return when is None or variables.get(when.name) in when.values


class Form(Enum):
    """How psql was asked for the value of a variable."""

    PLAIN = ":name"
    LITERAL = ":'name'"
    IDENTIFIER = ':"name"'
    TEST = ":{?name}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A psql variable in a text; `raw` is what stands there, and stays where the variable is not set."""

    name: str
    form: Form
    raw: str


Parts: TypeAlias = "tuple[str | Variable, ...]"
"""A text cut at its psql variables; joined with their `raw` it is the text as written."""


class Send(Enum):
    """What ends a statement, and so what becomes of its result."""

    PLAIN = ";"
    GSET = "\\gset"
    GEXEC = "\\gexec"


@dataclass(frozen=True, slots=True)
class Statement:
    r"""One thing sent to the server: a statement, or a group joined by `\;`.

    Args:
        place: the line where its SQL begins (after comments).
        text: as written, from its first word to before its terminator.
        parts: the same, cut at psql variables.
        verb: its first word in capitals, '' where there is none.
        step: its name in a schedule without the session: the name of its `step`, else its number in the section.
        send: what ends it.
        prefix: the argument of `\gset`.
        copy: the inline data of a COPY … FROM STDIN without its `\.`, else None.
    """

    place: Place
    text: str
    parts: Parts
    verb: str
    step: str
    send: Send = Send.PLAIN
    prefix: Parts = ()
    copy: str | None = None


@dataclass(frozen=True, slots=True)
class Meta:
    r"""A psql meta-command that has an effect at run time: \set \unset \echo \qecho \warn \if \elif \else \endif \quit.

    Args:
        place: its line.
        name: without the backslash.
        args: its arguments after psql's quoting rules, each cut at its variables.
    """

    place: Place
    name: str
    args: tuple[Parts, ...]


@dataclass(frozen=True, slots=True)
class Delay:
    """`delay 5ms` or `jitter 5ms` (then up to that long, seeded)."""

    place: Place
    seconds: float
    jitter: bool = False
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Barrier:
    """`barrier NAME [unless blocked]`."""

    place: Place
    name: str
    unless_blocked: bool = False
    when: When | None = None


@dataclass(frozen=True, slots=True)
class WaitBlocked:
    """`wait blocked SESSION` (worker None: all its connections) or `wait blocked SESSION[2]`."""

    place: Place
    session: str
    worker: int | None = None
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """`signal NAME`."""

    place: Place
    name: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class WaitFor:
    """`wait for NAME`."""

    place: Place
    name: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An error as an author names it: a SQLSTATE or a condition name.

    Args:
        name: as written.
        sqlstates: what it stands for; ('unknown',) for `retry unknown`.
    """

    name: str
    sqlstates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect CODE…`: the next statement must fail so."""

    place: Place
    codes: tuple[Code, ...]
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    """`allow CODE…`: the next statement may fail so."""

    place: Place
    codes: tuple[Code, ...]
    when: When | None = None


CHOICE = "fault of line "
"""What the name of a choice begins with, which no variable's does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`fault KIND …`.

    Args:
        place: its line.
        kind: cancel, terminate, kill, crash, stop, restart, cut, reset, stall, latency, fill, damage or promote.
        argument: what follows the kind: a mode, a time, a relation, 'disk', 'wal' or 'connections'; else ''.
        target: a session's name, 'server', a process of the server, or None for the own session.
        worker: the one connection of the target, or None for all.
        moment: before, during or after the next statement.
        when_blocked: wait until the target is blocked.
        after: seconds to wait.
        nth: only at this execution, from 1; 0 at every one. None, where it is not written: at the first.
        when: the values of a matrix that it counts for.
        anywhere: at one statement of its session, which a search chooses.
        included: the included file in which it stands, and which of them where its line is included more than once;
            '' for the scenario's own.
    """

    place: Place
    kind: str
    argument: str = ""
    target: str | None = None
    worker: int | None = None
    moment: Literal["before", "during", "after"] = "before"
    when_blocked: bool = False
    after: float | None = None
    nth: int | None = None
    when: When | None = None
    anywhere: bool = False
    included: str = ""

    @property
    def choice(self) -> str:
        """How the choice is called of the statement at which it strikes: a value that is drawn, as those of `given`."""
        line = f"{CHOICE}{self.place.line}"
        return f"{line} of {self.included}" if self.included else line


Item: TypeAlias = "Statement | Meta | Delay | Barrier | WaitBlocked | Signal | WaitFor | Expect | Allow | Fault"


@dataclass(frozen=True, slots=True)
class Section:
    """A setup, teardown, check or state section, or the SQL of a mutant."""

    place: Place
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """`retry SQLSTATE… up to 10 backoff 5ms` of a session; no codes: no retry."""

    codes: tuple[Code, ...] = ()
    limit: int = 10
    backoff: float = 0.005


@dataclass(frozen=True, slots=True)
class Session:
    """`session NAME x N repeat M retry … allow …` and what it does.

    `steps` are the names of its steps in order, without the session.
    """

    place: Place
    name: str
    items: tuple[Item, ...]
    steps: tuple[str, ...]
    count: int = 1
    repeat: int = 1
    retry: Retry = field(default_factory=Retry)
    allow: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Invariant:
    """`invariant [every 10ms] [may be empty] [at end]` and its queries."""

    place: Place
    items: tuple[Item, ...]
    every: float = 0.01
    may_be_empty: bool = False
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
    """`requires …`: an extension, a server version, superuser, own server, or a capability.

    Args:
        place: its line.
        kind: what is asked for.
        name: of the extension or capability, else ''.
        operator: '', '>=', '>', '=', '<', '<='.
        version: '' or a version such as '17' or '0.1'.
    """

    place: Place
    kind: Literal["extension", "server", "superuser", "own server", "capability"]
    name: str = ""
    operator: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServerSetting:
    """`server NAME = VALUE`: a parameter of the scenario's own server."""

    place: Place
    name: str
    value: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """`matrix NAME in a, 'b c'`."""

    place: Place
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """`given NAME in …`.

    Args:
        place: its line.
        name: of the psql variable.
        kind: of values.
        low: the least integer, float, timestamp (text) or length, else None.
        high: the greatest.
        choices: the values of a choice.
        element: what a list holds.
    """

    place: Place
    name: str
    kind: Literal["integer", "float", "boolean", "text", "choice", "timestamp", "list"]
    low: str | None = None
    high: str | None = None
    choices: tuple[str, ...] = ()
    element: Given | None = None


@dataclass(frozen=True, slots=True)
class StepName:
    """A step as a schedule names it: `session.1`, `session[2].looks`, `session.1#3` (iteration, from 1)."""

    session: str
    worker: int
    step: str
    iteration: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """`schedule free`, an exact list of steps, `all [up to N]` or `explore N` (limit None: not written)."""

    kind: Literal["free", "exact", "all", "explore"] = "free"
    steps: tuple[StepName, ...] = ()
    limit: int | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Xfail:
    """`xfail ['NAME'] REASON`; name None: some assertion."""

    place: Place
    name: str | None
    reason: str
    when: When | None = None


LeakKind: TypeAlias = Literal[
    "open transaction", "prepared transaction", "advisory lock", "invalid index", "object", "role", "slot"
]


@dataclass(frozen=True, slots=True)
class Leave:
    """`leaves KIND REASON`: a leak that is meant."""

    place: Place
    kind: LeakKind
    reason: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """`replace 'text' with 'text' in SESSION`, or `in setup` (session None)."""

    place: Place
    old: str
    new: str
    session: str | None


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug: SQL run after setup, replacements, new bodies of sessions, and what must catch it."""

    place: Place
    name: str
    items: tuple[Item, ...]
    replaces: tuple[Replace, ...]
    sessions: tuple[Session, ...]
    caught_by: tuple[str, ...]
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file.

    Args:
        path: where it lies.
        shown: the path as users are told of it.
        name: of its item: the file's name without .sql.
        title: its title, or the first comment line, or ''.
        source: the whole text, included files not among it.
        plain: True for a pgTAP file without directives: its items are the one check, run as psql would.
        tags: as written, without 'chaos'.
        timeout: of sessions together in seconds, None where not written.
        fills: what its faults fill, those of its mutants too: 'disk', 'wal', 'connections'.
        oracle_place: the line that asks for the oracle.
    """

    path: Path
    shown: str
    name: str
    title: str
    source: str
    plain: bool = False
    tags: frozenset[str] = frozenset()
    timeout: float | None = None
    requires: tuple[Requirement, ...] = ()
    sandbox: Literal["database", "schema", "server"] = "database"
    server: tuple[ServerSetting, ...] = ()
    fills: frozenset[str] = frozenset()
    alone: bool = False
    matrix: tuple[Matrix, ...] = ()
    given: tuple[Given, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    oracle: Literal["serializable"] | None = None
    oracle_place: Place | None = None
    xfails: tuple[Xfail, ...] = ()
    leaves: tuple[Leave, ...] = ()
    setup: tuple[Section, ...] = ()
    teardown: tuple[Section, ...] = ()
    sessions: tuple[Session, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    checks: tuple[Section, ...] = ()
    state: tuple[Section, ...] = ()
    mutants: tuple[Mutant, ...] = ()
    includes: tuple[Path, ...] = ()
    unsupported: tuple[Problem, ...] = ()
    """Directives that are read but not run yet, named by place and word; empty once all of the language runs."""
    notes: tuple[Problem, ...] = ()
    """What is no mistake and may surprise, such as a wait that takes a snapshot; in order of place."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """The names of the extensions that it requires."""
        return tuple(one.name for one in self.requires if one.kind == "extension")

    def statements(self) -> Iterator[Statement]:
        """List what it sends to the server, from included files too; not what its mutants add."""
        run: tuple[Section | Session | Invariant, ...] = (*self.setup, *self.sessions, *self.invariants)
        for part in (*run, *self.checks, *self.state, *self.teardown):
            yield from (item for item in part.items if isinstance(item, Statement))
