"""The lexemes of the psql scanner, from which the parser builds sections, sessions and steps.

Lines are counted from 1 in the scanned file. Lexemes are never changed. The classes are not frozen, because creating a
frozen dataclass takes three times as long, and collection creates thousands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.language.problems import Place
from pgchaos.language.section_items import Parts, Send


@dataclass(slots=True)
class Sql:
    r"""A statement, or a `\;` group, with its terminator."""

    place: Place  # the line of its first word, after white space and comments
    text: str  # as written, from its first word to its terminator, without trailing white space
    parts: Parts  # the text split at psql variables
    verb: str  # its first word in upper case; '' if it does not begin with a word
    send: Send = Send.PLAIN  # its terminator
    prefix: Parts = ()  # the argument of `\gset`
    copy: str | None = None  # inline data of COPY … FROM STDIN, else None
    # False if its file ends before a terminator. `psql -f` sends it anyway, even with ON_ERROR_STOP (mainloop.c). It is
    # allowed in a plain pgTAP file, but not in a scenario.
    finished: bool = True
    slice_variables: frozenset[str] = frozenset()  # names in `[a:name]`, which psql reads as variables
    # names as in `:name` in its dollar quotes, in which psql replaces no variables
    dollar_variables: frozenset[str] = frozenset()


@dataclass(slots=True)
class Command:
    r"""A meta-command that is not a terminator: its name without the backslash, and its arguments.

    `\i`, `\ir` and `\include_relative` are commands too: `Source` reads the files that they name.
    """

    place: Place
    name: str
    args: tuple[Parts, ...]


@dataclass(slots=True)
class Comment:
    """A `--` comment, between statements or inside one; then it follows the Sql of the statement.

    A block comment that begins like a directive is one too, if it is between statements; so is a line that begins with
    OTHER_MARK.
    """

    place: Place
    text: str  # from its `--` to the end of the line
    inside: Place | None = None  # the place of the statement that contains it, or None
    alone: bool = True  # only white space precedes it on its line


@dataclass(slots=True)
class Mistake:
    """Something that no file may contain: an unknown meta-command, an unterminated quote, a backtick."""

    place: Place
    text: str  # what is wrong
    inside: Place | None = None  # for a meta-command in a statement, whose Sql it follows: the statement's place


Lexeme: TypeAlias = "Sql | Command | Comment | Mistake"

OTHER_MARK = re.compile(r"(?:#{1,9}|/{2,9}|-?[\u2010-\u2015\u2212]{1,9}-?)[ \t]*chaos:(?=[A-Za-z])")
"""The beginning of a line that is meant as a directive, with the comment mark of another language, or other dashes."""

MEANT = "/* chaos:"
"""The beginning of a block comment that was meant as a directive; some formatters make them of `--` comments."""

OPEN_QUOTE = "unterminated quoted string: the closing ' is missing"
OPEN_NAME = 'unterminated quoted identifier: the closing " is missing'
NOT_CLOSED = "an opening parenthesis in line {} is not closed"


class LineCounter:
    """Computes the lines of positions in a text. The positions must not decrease."""

    __slots__ = ("_at", "_line", "_removed", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._removed: list[tuple[int, int]] = []

    def line(self, at: int) -> int:
        """Return the line of a position in the original text, from 1."""
        while self._removed and self._removed[0][0] <= at:
            self._line += self._removed.pop(0)[1]
        if at > self._at:
            self._line += self._text.count("\n", self._at, at)
            self._at = at
        return self._line

    def remove(self, text: str, at: int, lines: int) -> None:
        """Continue with `text`, from which `lines` were removed at a position after all previous ones."""
        self._text = text
        self._removed.append((at, lines))
