"""What the lexer cuts a file into; the reader makes sections, sessions and steps of these.

Lines are counted from 1 in the file that was scanned. Nobody changes a lexeme; they are not frozen all the same, for
that costs three times as much for each, and there are thousands of files at collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pgchaos.language.problems import Place
from pgchaos.language.section_items import Parts, Send
from pgchaos.language.sql_skeleton import called


@dataclass(slots=True)
class Sql:
    r"""A statement, or a `\;` group, with what ended it.

    Args:
        place: the line of its first word (after white space and comments).
        text: as written, from its first word to before its terminator, trailing white space taken off.
        parts: the same, cut at its psql variables.
        verb: its first word in capitals; '' where it does not begin with a word.
        send: how it ends.
        prefix: the argument of `\gset`.
        copy: inline data of COPY … FROM STDIN, else None.
        finished: False where the file, or the included file that it stands in, ended before its terminator. `psql -f`
            sends it there, with ON_ERROR_STOP too (mainloop.c), and so does a plain pgTAP file; a scenario may not.
        skeleton: its text with the insides of quotes and all comments taken out.
        slices: names of variables-like texts in `[a:name]` (checked by the reader against names of ours).
        quoted: names as in `:name` that stand inside its dollar quotes (checked likewise).
    """

    place: Place
    text: str
    parts: Parts
    verb: str
    send: Send = Send.PLAIN
    prefix: Parts = ()
    copy: str | None = None
    finished: bool = True
    skeleton: str = ""
    slices: frozenset[str] = frozenset()
    quoted: frozenset[str] = frozenset()

    @property
    def words(self) -> frozenset[str]:
        """The identifiers directly before a `(` outside quotes, lower case: the functions that it may call."""
        return called(self.skeleton)


@dataclass(slots=True)
class Command:
    r"""A meta-command of psql that is no terminator: its name without the backslash, and its arguments.

    `\i`, `\ir` and `\include_relative` stay commands: the reader reads the file that they name.
    """

    place: Place
    name: str
    args: tuple[Parts, ...]


@dataclass(slots=True)
class Comment:
    """A `--` comment: between statements, or inside one, whose Sql it then follows.

    Args:
        place: its line.
        text: the whole comment, from its `--` to before the end of the line.
        inside: the place of the unfinished statement that it stands in, else None.
        alone: True where nothing but white space stands before it on its line.
    """

    place: Place
    text: str
    inside: Place | None = None
    alone: bool = True


@dataclass(slots=True)
class Mistake:
    """Something that no file may hold: an unknown meta-command, an unterminated quote, a backtick.

    Args:
        place: its line.
        text: what is wrong.
        inside: of a meta-command that stands inside an unfinished statement, the place of that, whose Sql it follows.
    """

    place: Place
    text: str
    inside: Place | None = None


Lexeme: TypeAlias = "Sql | Command | Comment | Mistake"


class Lines:
    """Counts lines on the way through a text.

    Args:
        text: the text; positions asked for must not decrease.
    """

    __slots__ = ("_at", "_cuts", "_line", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._cuts: list[tuple[int, int]] = []

    def line(self, at: int) -> int:
        """Say in which line of the whole text a position stands.

        Args:
            at: the position, not before the last one asked for.

        Returns:
            The line, from 1.
        """
        while self._cuts and self._cuts[0][0] <= at:
            self._line += self._cuts.pop(0)[1]
        if at > self._at:
            self._line += self._text.count("\n", self._at, at)
            self._at = at
        return self._line

    def cut(self, text: str, at: int, lines: int) -> None:
        """Take note that lines were cut out.

        Args:
            text: what is left of the text.
            at: where they stood, after all positions asked for.
            lines: how many.
        """
        self._text = text
        self._cuts.append((at, lines))
