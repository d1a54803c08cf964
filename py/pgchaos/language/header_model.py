"""For which values of a matrix a directive counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgchaos.language.problems import Place


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
    """`schedule free`, an exact list of steps, `all [up to N]` or `explore N [with M values]`.

    Args:
        kind: which of these.
        steps: of an exact one.
        limit: the most interleavings; None where not written.
        place: its line.
        values: among how many drawn values they are shared out; None where not written.
    """

    kind: Literal["free", "exact", "all", "explore"] = "free"
    steps: tuple[StepName, ...] = ()
    limit: int | None = None
    place: Place | None = None
    values: int | None = None


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
