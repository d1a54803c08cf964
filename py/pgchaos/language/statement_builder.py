"""A statement while it is being read."""

from __future__ import annotations

from pgchaos.language.lexemes import Sql
from pgchaos.language.meta_arguments import merged
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import SPACES, WORD
from pgchaos.language.section_items import Form, Parts, Send, Variable
from pgchaos.language.sql_skeleton import GROUP, Body, copies_in, is_routine, named_in_dollars, slices


class StatementBuilder:
    r"""A statement, or a `\;` group, from its first word to its terminator.

    Args:
        place: the line of its first word.
        text: of the file.
        start: the position of its first word.
    """

    __slots__ = (
        "_body",
        "_bones",
        "_cut",
        "_dollars",
        "_fed",
        "_group",
        "_parts",
        "_plain",
        "_routine",
        "_start",
        "_text",
        "_told",
        "depth",
        "place",
        "variables",
        "verb",
    )

    def __init__(self, place: Place, text: str, start: int) -> None:
        self.place = place
        self.depth = 0
        self.variables = 0
        first = WORD.match(text, start)
        self.verb = first[0].upper() if first else ""
        self._text = text
        self._start = self._cut = self._told = start
        self._parts: list[str | Variable] = []
        self._bones: list[str] = []
        self._dollars: set[str] = set()
        self._plain = False  # a variable in the plain form stands in it: it may be a slice
        self._group = False
        self._body: Body | None = None
        self._routine: bool | None = None
        self._fed = 0  # so many bones have been read on to see whether a body is open

    def variable(self, start: int, end: int, variable: Variable) -> None:
        """Note a psql variable from one position to another."""
        self.variables += 1
        self._parts += (self._text[self._cut : start], variable)
        self._cut = end
        self._plain |= variable.form is Form.PLAIN

    def force(self, start: int, end: int) -> None:
        r"""Note `\;` or `\:`, of which the backslash is not sent."""
        sent = self._text[start + 1]
        self._parts += (self._text[self._cut : start], sent)
        self._cut = end
        if sent == ";":
            self._read_on(start)
            self._group = True
            self._routine = None
        self.hide(start, end, GROUP if sent == ";" else " ")

    def leave_out(self, start: int, end: int) -> None:
        """Note what is not sent: a meta-command without effect."""
        self._parts.append(self._text[self._cut : start])
        self._cut = end
        self.hide(start, end, " ")

    def hide(self, start: int, end: int, bone: str) -> None:
        """Note a quote or a comment, whose inside is nothing to the skeleton."""
        self._bones += (self._text[self._told : start], bone)
        self._told = end

    def dollars(self, start: int, end: int) -> None:
        """Note the inside of a dollar-quoted string."""
        self._dollars |= named_in_dollars(self._text[start:end])

    def ends_at(self, at: int) -> bool:
        """Say whether a `;` ends the statement: outside parentheses, and outside BEGIN ATOMIC … END.

        Args:
            at: where it stands.

        Returns:
            True where psql sends the statement there.
        """
        if self.depth:
            return False
        if self.verb not in ("CREATE", "") and not self._group:
            return True
        self._read_on(at)
        return self._body is None or not self._body.is_open()

    def _read_on(self, at: int) -> None:
        self.hide(at, at, "")
        piece = "".join(self._bones[self._fed :])
        self._fed = len(self._bones)
        if self._routine is None:
            self._routine = is_routine(piece)
        if self._routine:
            self._body = self._body or Body()
            self._body.read(piece)

    def copies(self, end: int) -> int:
        """Count the blocks of COPY data that follow the statement when it ends at a position."""
        return copies_in(self._skeleton(end)) if self.verb == "COPY" or self._group else 0

    def sql(self, end: int, send: Send, prefix: Parts, copy: str | None, finished: bool) -> Sql:
        r"""Make the lexeme.

        Args:
            end: the position of its terminator.
            send: what ends it.
            prefix: the argument of `\gset`.
            copy: the data that follows it.
            finished: whether a terminator was found.

        Returns:
            The statement.
        """
        rest = self._text[self._cut : end].rstrip(SPACES)
        skeleton = self._skeleton(end)
        parts: Parts
        if self._parts:
            *before, last = merged([*self._parts, rest])
            parts = merged([*before, last.rstrip(SPACES) if isinstance(last, str) else last])
            text = "".join([part if isinstance(part, str) else part.raw for part in parts])
        else:
            parts, text = (rest,), rest
        return Sql(
            self.place,
            text,
            parts,
            self.verb,
            send,
            prefix,
            copy,
            finished,
            skeleton,
            slices(skeleton) if self._plain and "[" in skeleton else frozenset(),
            frozenset(self._dollars),
        )

    def _skeleton(self, end: int) -> str:
        return "".join(self._bones) + self._text[self._told : end] if self._bones else self._text[self._start : end]
