"""The items of a section: statements, psql's commands, waits, expected errors and faults.

Everything here is frozen. Times are in seconds, counts begin at 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from pgchaos.language.header_model import When
from pgchaos.language.problems import Place


class Form(Enum):
    """How psql was asked for the value of a variable."""

    PLAIN = ":name"
    LITERAL = ":'name'"
    IDENTIFIER = ':"name"'
    TEST = ":{?name}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A psql variable in a text. `raw` is its text as written; it is sent as it is where the variable is not set."""

    name: str
    form: Form
    raw: str


Parts: TypeAlias = "tuple[str | Variable, ...]"
"""A text split at its psql variables; joined with their `raw` it is the text as written."""


class Send(Enum):
    """What ends a statement, which decides where its result goes."""

    PLAIN = ";"
    GSET = "\\gset"
    GEXEC = "\\gexec"
    HIDDEN = "\\g /dev/null"
    EXPANDED = "\\gx"


@dataclass(frozen=True, slots=True)
class Statement:
    r"""One thing sent to the server: a statement, or a group joined by `\;`."""

    place: Place  # the line where its SQL begins (after comments)
    text: str  # as written, from its first word, without its terminator
    parts: Parts  # the same, split at psql variables
    verb: str  # its first word in capitals; '' if there is none
    step: str  # its name in a schedule, without the session: the name of its `step`, else its number in the section
    send: Send = Send.PLAIN  # what ends it
    prefix: Parts = ()  # the argument of `\gset`
    copy: str | None = None  # the inline data of a COPY … FROM STDIN without its `\.`, else None


@dataclass(frozen=True, slots=True)
class Meta:
    r"""A psql meta-command that has an effect at run time, such as \set, \if or \echo; in plain files \o and \c too."""

    place: Place
    name: str  # without the backslash
    args: tuple[Parts, ...]  # its arguments, unquoted by psql's rules, each split at its variables


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
    """An error as an author names it: a SQLSTATE or a condition name."""

    name: str  # as written
    sqlstates: tuple[str, ...]  # that it means; ('unknown',) for `retry unknown`


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
    """`allow exit 1` in a session that is a program: it may end with one of these exit statuses."""

    place: Place
    statuses: tuple[int, ...]
    when: When | None = None


CHOICE = "fault of line "
"""How the name of a choice begins (see Fault.choice); no variable's name does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`fault KIND …`."""

    place: Place
    kind: str  # one of fault_kinds.KINDS
    argument: str = ""  # what follows the kind: a way to stop, a time, a rate, a relation, or a thing to fill; else ''
    target: str | None = None  # a session's name, 'server', a process of the server, or None for its own session
    worker: int | None = None  # one connection of the target, or None for all
    moment: Literal["before", "during", "after"] = "before"  # before, during or after the next statement
    when_blocked: bool = False  # only once the target waits for a lock
    after: float | None = None  # seconds to wait in addition
    nth: int | None = None  # at this execution only, from 1; 0 means each one. None (not written) means the first.
    when: When | None = None
    anywhere: bool = False  # at one statement of its session, which a search chooses
    # for a fault of an included file, that file, and which of several; '' for the scenario's own file
    included: str = ""
    statement: str = ""  # in a session that is a program, the pattern of LIKE of the requests that count; '' for all

    @property
    def choice(self) -> str:
        """The name of the drawn value that says at which statement it strikes."""
        line = f"{CHOICE}{self.place.line}"
        return f"{line} of {self.included}" if self.included else line


STEERS = (Barrier, Fault, Signal, WaitBlocked, WaitFor)
"""Items that tie the steps of a session to those of others."""

Item: TypeAlias = (
    "Statement | Meta | Delay | Barrier | WaitBlocked | Signal | WaitFor | Expect | Allow | AllowExit | Fault"
)
