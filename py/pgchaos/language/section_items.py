"""The items of a section: statements, psql's commands, waits, expected errors and faults.

All classes are frozen. Times are in seconds, counts begin at 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from pgchaos.language.header_model import When
from pgchaos.language.problems import Place


class Form(Enum):
    """How a text refers to a psql variable."""

    PLAIN = ":name"
    LITERAL = ":'name'"
    IDENTIFIER = ':"name"'
    TEST = ":{?name}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A reference to a psql variable in a text."""

    name: str
    form: Form
    raw: str  # as written; it is sent unchanged if the variable is not set


Parts: TypeAlias = "tuple[str | Variable, ...]"
"""A text split at its psql variables."""


def as_written(parts: Iterable[str | Variable]) -> str:
    """Join the parts of a text, with its variables as written."""
    return "".join([part if isinstance(part, str) else part.raw for part in parts])


def variable_names(parts: Iterable[str | Variable]) -> set[str]:
    """Return the names of the variables in a text."""
    return {part.name for part in parts if isinstance(part, Variable)}


def literal_argument(parts: Parts) -> str | None:
    """Return an argument of a meta-command; None if it contains a variable."""
    return None if variable_names(parts) else as_written(parts)


class Send(Enum):
    """The terminator of a statement, which decides where its result goes."""

    PLAIN = ";"
    GSET = "\\gset"
    GEXEC = "\\gexec"
    HIDDEN = "\\g /dev/null"
    EXPANDED = "\\gx"


@dataclass(frozen=True, slots=True)
class Statement:
    r"""One query message: a statement, or a group joined by `\;`."""

    place: Place  # the line of its first word, after comments
    text: str  # as written, from its first word, without its terminator
    parts: Parts  # the text split at psql variables
    verb: str  # its first word in upper case, or ''
    step: str  # its name in a schedule, without the session: the name of its `step`, else its number in the section
    send: Send = Send.PLAIN  # its terminator
    prefix: Parts = ()  # the argument of `\gset`
    copy: str | None = None  # the inline data of COPY … FROM STDIN without its `\.`, else None


@dataclass(frozen=True, slots=True)
class Meta:
    r"""A psql meta-command with an effect at run time, such as \set, \if or \echo; in plain files also \o and \c."""

    place: Place
    name: str  # without the backslash
    args: tuple[Parts, ...]  # unquoted by psql's rules, each split at its variables


@dataclass(frozen=True, slots=True)
class Delay:
    """`delay 5ms`, or `jitter 5ms`: a random time up to that long."""

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
    """`wait blocked SESSION[2]`; without a worker, all connections of the session."""

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
    """An error in a directive: a SQLSTATE or a condition name."""

    name: str  # as written
    sqlstates: tuple[str, ...]  # the SQLSTATEs of that name; ('unknown',) for `retry unknown`


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect CODE…`: the next statement must fail with one of them."""

    place: Place
    codes: tuple[Code, ...]
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    """`allow CODE…`: the next statement may fail with one of them."""

    place: Place
    codes: tuple[Code, ...]
    when: When | None = None


@dataclass(frozen=True, slots=True)
class AllowExit:
    """`allow exit 1` in a session with a program: it may end with one of these exit statuses."""

    place: Place
    statuses: tuple[int, ...]
    when: When | None = None


CHOICE = "fault of line "
"""The beginning of the name of a drawn fault position (see Fault.choice); no variable's name begins with it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`fault KIND …`."""

    place: Place
    kind: str  # one of fault_kinds.KINDS
    argument: str = ""  # after the kind: a way to stop, a time, a rate, or what to fill; else ''
    target: str | None = None  # a session's name, 'server', a process of the server, or None for its own session
    worker: int | None = None  # one connection of the target, or None for all
    moment: Literal["before", "during", "after"] = "before"  # in relation to the next statement
    when_blocked: bool = False  # only when the target waits for a lock
    after: float | None = None  # seconds of additional delay
    nth: int | None = None  # at this execution only, from 1; 0 means every one. None (not written) means the first.
    when: When | None = None
    anywhere: bool = False  # `at any step`: at one statement of its session, which a search chooses
    # for a fault in an included file: that file, and which of several occurrences; '' for the scenario's own file
    included: str = ""
    statement: str = ""  # in a session with a program: the LIKE pattern of the requests that count; '' for all

    @property
    def choice(self) -> str:
        """The name of the drawn value that is the number of its statement."""
        line = f"{CHOICE}{self.place.line}"
        return f"{line} of {self.included}" if self.included else line


STEERS = (Barrier, Fault, Signal, WaitBlocked, WaitFor)
"""Items that coordinate the steps of a session with other sessions."""

Item: TypeAlias = (
    "Statement | Meta | Delay | Barrier | WaitBlocked | Signal | WaitFor | Expect | Allow | AllowExit | Fault"
)
