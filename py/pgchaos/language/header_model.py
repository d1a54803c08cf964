"""The directives of a file's header. All classes are frozen."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgchaos.language.problems import Place

Sandbox: TypeAlias = Literal["database", "schema", "server"]


@dataclass(frozen=True, slots=True)
class When:
    """`… when NAME = value or value`: the directive applies only for these values of a matrix."""

    name: str
    values: tuple[str, ...]


def applies(when: When | None, variables: Mapping[str, str]) -> bool:
    """Whether a directive with this condition applies to an item with these matrix values."""
    return when is None or variables.get(when.name) in when.values


def may_both_apply(one: When | None, other: When | None) -> bool:
    """Whether directives with these conditions may apply to the same item."""
    if one is None or other is None or one.name != other.name:
        return True
    return not set(one.values).isdisjoint(other.values)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of `requires …`; a scenario without it is skipped."""

    place: Place
    # the directive `pooler` makes a requirement `pooler`
    kind: Literal["extension", "server", "superuser", "own server", "capability", "pooler", "program"]
    name: str = ""  # the extension, capability or program, else ''
    operator: str = ""  # '', '>=', '>', '=', '<', '<='
    version: str = ""  # '' or a version such as '17' or '0.1'
    function: str = ""  # a function of the extension, or a library of the program, that must exist; or ''


@dataclass(frozen=True, slots=True)
class ServerSetting:
    """`server NAME = VALUE`: a parameter of the scenario's own server."""

    place: Place
    name: str
    value: str
    when: When | None = None


PoolMode: TypeAlias = Literal["session", "transaction", "statement"]


@dataclass(frozen=True, slots=True)
class Pooler:
    """`pooler MODE [size N]`: a connection pooler between the sessions and the server."""

    place: Place
    mode: PoolMode  # when a connection returns to the pool: after a session, a transaction or a statement
    size: int | None = None  # the maximum size of the pool; None for the pooler's default
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """`matrix NAME in a, 'b c'`."""

    place: Place
    name: str
    values: tuple[str, ...]


def combinations(matrices: Collection[Matrix]) -> Iterator[dict[str, str]]:
    """Yield all combinations of the values of matrices, by name; the values of the last matrix change fastest.

    Without a matrix, there is one combination, an empty dict.
    """
    names = [matrix.name for matrix in matrices]
    for values in itertools.product(*(matrix.values for matrix in matrices)):
        yield dict(zip(names, values, strict=True))


@dataclass(frozen=True, slots=True)
class Given:
    """`given NAME in …`: a variable whose values are drawn at random."""

    place: Place
    name: str  # of the psql variable
    kind: Literal["integer", "float", "boolean", "text", "choice", "timestamp", "list"]
    low: str | None = None  # the lowest integer, float, timestamp (as text) or length; None without a limit
    high: str | None = None  # the highest
    choices: tuple[str, ...] = ()  # the values of a choice
    element: Given | None = None  # how the elements of a list are drawn


@dataclass(frozen=True, slots=True)
class StepName:
    """A step in a schedule: `session.1`, `session[2].looks`, `session.1#3` (iteration, from 1)."""

    session: str
    worker: int
    step: str
    iteration: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """`schedule free`, an exact list of steps, `all [up to N]` or `explore N [with M values]`."""

    kind: Literal["free", "exact", "all", "explore"] = "free"
    steps: tuple[StepName, ...] = ()  # of an exact schedule
    limit: int | None = None  # the maximum number of interleavings; None if not written
    place: Place | None = None
    values: int | None = None  # the number of drawn values that share the interleavings; None if not written


@dataclass(frozen=True, slots=True)
class Xfail:
    """`xfail ['NAME'] REASON`; without a name it applies to any assertion."""

    place: Place
    name: str | None
    reason: str
    when: When | None = None


LeakKind: TypeAlias = Literal[
    "open transaction", "prepared transaction", "advisory lock", "invalid index", "object", "role", "slot"
]


@dataclass(frozen=True, slots=True)
class Leave:
    """`leaves KIND REASON`: an intended leak."""

    place: Place
    kind: LeakKind
    reason: str
    when: When | None = None
