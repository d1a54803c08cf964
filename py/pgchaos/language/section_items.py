"""What stands in a section: statements, psql's commands, waits, what may fail, and faults.

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
    HIDDEN = "\\g /dev/null"
    EXPANDED = "\\gx"


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
    r"""A psql meta-command that has an effect at run time.

    They are \set \unset \echo \qecho \warn \if \elif \else \endif \quit \getenv \setenv \encoding; in plain
    files \o \c too; and \i of a file that cannot be read, in a branch.

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
