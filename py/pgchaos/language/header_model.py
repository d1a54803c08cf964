"""What the header of a file says. Everything here is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgchaos.language.problems import Place

Sandbox: TypeAlias = Literal["database", "schema", "server"]


@dataclass(frozen=True, slots=True)
class When:
    """`… when NAME = value or value`: the directive counts for these values of a matrix only."""

    name: str
    values: tuple[str, ...]


def applies(when: When | None, variables: Mapping[str, str]) -> bool:
    """Whether a directive with this condition counts for an item with these values of its matrix."""
    return when is None or variables.get(when.name) in when.values


def may_both_apply(one: When | None, other: When | None) -> bool:
    """Whether there may be an item for which two directives count."""
    if one is None or other is None or one.name != other.name:
        return True
    return not set(one.values).isdisjoint(other.values)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`requires …`: one thing that the server or the user must have."""

    place: Place
    # `pooler` is required by the directive of that name
    kind: Literal["extension", "server", "superuser", "own server", "capability", "pooler", "program"]
    name: str = ""  # of the extension, capability or program, else ''
    operator: str = ""  # '', '>=', '>', '=', '<', '<='
    version: str = ""  # '' or a version such as '17' or '0.1'
    function: str = ""  # that the extension must have, or the library that the program must find; or ''


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
    mode: PoolMode  # when a connection of the pool is given back: after a session, a transaction or a statement
    size: int | None = None  # the most connections of the pool; None for the pooler's default
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """`matrix NAME in a, 'b c'`."""

    place: Place
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """`given NAME in …`: a variable whose values are drawn at random."""

    place: Place
    name: str  # of the psql variable
    kind: Literal["integer", "float", "boolean", "text", "choice", "timestamp", "list"]
    low: str | None = None  # the least integer, float, timestamp (as text) or length; None without a limit
    high: str | None = None  # the greatest
    choices: tuple[str, ...] = ()  # the values of a choice
    element: Given | None = None  # what a list contains


@dataclass(frozen=True, slots=True)
class StepName:
    """A step as a schedule names it: `session.1`, `session[2].looks`, `session.1#3` (iteration, from 1)."""

    session: str
    worker: int
    step: str
    iteration: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """`schedule free`, an exact list of steps, `all [up to N]` or `explore N [with M values]`."""

    kind: Literal["free", "exact", "all", "explore"] = "free"
    steps: tuple[StepName, ...] = ()  # of an exact one
    limit: int | None = None  # the most interleavings; None where not written
    place: Place | None = None
    values: int | None = None  # the number of drawn values that share the interleavings; None where not written


@dataclass(frozen=True, slots=True)
class Xfail:
    """`xfail ['NAME'] REASON`; without a name it means any assertion."""

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
