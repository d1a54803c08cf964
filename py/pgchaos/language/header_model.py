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
    """Whether a directive counts for an item.

    Args:
        when: the condition of the directive; None for one that always counts.
        variables: the values of the item's matrix by name.
    """
    return when is None or variables.get(when.name) in when.values


def may_both_apply(one: When | None, other: When | None) -> bool:
    """Whether there may be an item for which two directives count."""
    if one is None or other is None or one.name != other.name:
        return True
    return not set(one.values).isdisjoint(other.values)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`requires …`: one thing that the server or the user must have.

    Args:
        place: its line.
        kind: of thing; `pooler` is required by the directive of that name.
        name: of the extension, capability or program, else ''.
        operator: '', '>=', '>', '=', '<', '<='.
        version: '' or a version such as '17' or '0.1'.
        function: that the extension must have, or the library that the program must find; or ''.
    """

    place: Place
    kind: Literal["extension", "server", "superuser", "own server", "capability", "pooler", "program"]
    name: str = ""
    operator: str = ""
    version: str = ""
    function: str = ""


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
    """`pooler MODE [size N]`: a connection pooler between the sessions and the server.

    Args:
        place: its line.
        mode: when a connection of the pool is given back: after a session, a transaction or a statement.
        size: the most connections of the pool; None for the pooler's default.
        when: the condition.
    """

    place: Place
    mode: PoolMode
    size: int | None = None
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """`matrix NAME in a, 'b c'`."""

    place: Place
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """`given NAME in …`: a variable whose values are drawn at random.

    Args:
        place: its line.
        name: of the psql variable.
        kind: of values.
        low: the least integer, float, timestamp (as text) or length; None without a limit.
        high: the greatest.
        choices: the values of a choice.
        element: what a list contains.
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
    """`schedule free`, an exact list of steps, `all [up to N]` or `explore N [with M values]`.

    Args:
        kind: of schedule.
        steps: of an exact one.
        limit: the most interleavings; None where not written.
        place: its line.
        values: the number of drawn values that share the interleavings; None where not written.
    """

    kind: Literal["free", "exact", "all", "explore"] = "free"
    steps: tuple[StepName, ...] = ()
    limit: int | None = None
    place: Place | None = None
    values: int | None = None


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
