"""What a scenario says as a whole. The reader makes these; everyone else only reads them.

Everything here is frozen. Times are in seconds, counts begin at 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pgchaos.language.header_model import Given, Leave, Matrix, Requirement, Schedule, ServerSetting, When, Xfail
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_items import Code, Item, Statement


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
    """`session NAME x N repeat M until VARIABLE retry … allow …` and what it does.

    `steps` are the names of its steps in order, without the session. With `repeat while OTHER`, `beside` names the
    other session, and `repeat` is a number that is never reached.
    """

    place: Place
    name: str
    items: tuple[Item, ...]
    steps: tuple[str, ...]
    count: int = 1
    repeat: int = 1
    retry: Retry = field(default_factory=Retry)
    allow: tuple[Code, ...] = ()
    until: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """How often a session does all of it: `repeat M`, `repeat M until VARIABLE` or `repeat while OTHER`."""

    count: int = 1
    until: str = ""
    beside: str = ""


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
