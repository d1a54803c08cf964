"""A scenario as the reader returns it. All classes are frozen. Times are in seconds, counts begin at 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, cast

from pgchaos.language.header_model import (
    Given,
    Leave,
    Matrix,
    Pooler,
    Requirement,
    Sandbox,
    Schedule,
    ServerSetting,
    When,
    Xfail,
)
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_items import Code, Item, Parts, Statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """A setup, teardown, check or state section, or a mutant's SQL."""

    place: Place
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """`retry CODE… up to 10 backoff 5ms` of a session. Without codes nothing is retried."""

    codes: tuple[Code, ...] = ()
    limit: int = 10
    backoff: float = 0.005


@dataclass(frozen=True, slots=True)
class Program:
    """`run 'COMMAND' grace 200ms allow exit 1` of a session."""

    place: Place
    text: str  # the command as written
    words: tuple[Parts, ...]  # the words of the command, each split at its psql variables
    grace: float = 0.5  # seconds without activity after which the other sessions continue without it
    exits: tuple[int, ...] = ()  # exit statuses that are allowed besides 0
    # a function of a test in Python that is called with a connection string instead of the command, or None
    function: Callable[[str], object] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Session:
    """`session NAME x N repeat M until VARIABLE retry … allow … connect …`, or `session NAME x N run 'COMMAND'`."""

    place: Place
    name: str
    items: tuple[Item, ...]
    steps: tuple[str, ...]  # the names of its steps in order, without the session
    count: int = 1  # the number of its connections
    repeat: int = 1  # the iterations of each connection; with `repeat while OTHER`, a number that is never reached
    retry: Retry = field(default_factory=Retry)
    allow: tuple[Code, ...] = ()
    until: str = ""  # the variable that ends the iterations, or ''
    repeat_while: str = ""  # OTHER, or ''
    program: Program | None = None  # the program that it runs instead of statements, or None
    connect: tuple[tuple[str, str], ...] = ()  # libpq parameters: its time-outs


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat M`, `repeat M until VARIABLE` or `repeat while OTHER` of a session; see Session."""

    count: int = 1
    until: str = ""
    repeat_while: str = ""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`invariant [every 10ms] [may be empty] [at end]` and its queries."""

    place: Place
    items: tuple[Item, ...]
    every: float = 0.01
    may_be_empty: bool = False
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Replace:
    """`replace 'text' with 'text' in SESSION`, or `in setup` (session None)."""

    place: Place
    old: str
    new: str
    session: str | None


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug: SQL that runs after setup, replaced texts and sessions, and the failures that must catch it."""

    place: Place
    name: str
    items: tuple[Item, ...]
    replaces: tuple[Replace, ...]
    sessions: tuple[Session, ...]
    caught_by: tuple[str, ...]
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file."""

    path: Path
    shown: str  # the path in messages
    name: str  # the name of its item: the file's name without .sql
    title: str  # its `title`, or the first comment line, or ''
    source: str  # the text of the file, without included files
    plain: bool = False  # a pgTAP file without directives: all items are one check, and run as in psql
    tags: frozenset[str] = frozenset()  # as written, without 'chaos'
    timeout: float | None = None  # for all sessions together, in seconds; None if not written
    requires: tuple[Requirement, ...] = ()
    sandbox: Sandbox = "database"
    server: tuple[ServerSetting, ...] = ()
    fills: frozenset[str] = frozenset()  # arguments of `fault fill`, also in mutants: 'disk', 'wal', 'connections'
    poolers: tuple[Pooler, ...] = ()  # the `pooler MODE` lines; at most one applies to an item
    pooler_settings: tuple[ServerSetting, ...] = ()  # the parameters of the pooler
    alone: bool = False
    matrix: tuple[Matrix, ...] = ()
    given: tuple[Given, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    oracle: Literal["serializable"] | None = None
    oracle_place: Place | None = None  # the line of `oracle`
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
    # psql variables of every section: from --chaos-set, and from `default` and \set in the header
    constants: Mapping[str, str] = field(default_factory=dict)
    # not mistakes, but possibly unexpected, such as a wait that takes a snapshot; in order of line
    notes: tuple[Problem, ...] = ()
    # values computed from the scenario, by function; see `cached_on_scenario`
    cache: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def extensions(self) -> tuple[str, ...]:
        """The names of the required extensions."""
        return tuple(one.name for one in self.requires if one.kind == "extension")

    @property
    def all_sessions(self) -> tuple[Session, ...]:
        """Its sessions, and those of its mutants."""
        return (*self.sessions, *(session for mutant in self.mutants for session in mutant.sessions))

    @property
    def connections(self) -> int:
        """The total number of connections of its sessions."""
        return sum(session.count for session in self.sessions)

    @property
    def runs_programs(self) -> bool:
        """Whether a session runs a program, whose statements are known only when it sends them."""
        return any(session.program is not None for session in self.sessions)

    def statements(self) -> Iterator[Statement]:
        """Yield the statements of its sections and included files, but not those of its mutants."""
        run: tuple[Part, ...] = (*self.setup, *self.sessions, *self.invariants)
        return statements_in((*run, *self.checks, *self.state, *self.teardown))


Part: TypeAlias = Section | Session | Invariant


def statements_in(parts: Iterable[Part]) -> Iterator[Statement]:
    """Yield the statements of sections, sessions and invariants."""
    return (item for part in parts for item in part.items if isinstance(item, Statement))


def cached_on_scenario(compute: Callable[[Scenario], T]) -> Callable[[Scenario], T]:
    """Make a function compute its result once for each scenario, because a search runs a scenario many times."""

    @wraps(compute)
    def cached(scenario: Scenario) -> T:
        if cached not in scenario.cache:
            scenario.cache[cached] = compute(scenario)
        return cast("T", scenario.cache[cached])

    return cached
