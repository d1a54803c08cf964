"""Splits SQL into statements and comments, as psqlscan.l does (PostgreSQL 16 to 18, standard_conforming_strings on).

Nothing here raises: what a scenario must not contain becomes a Mistake, even if psql would continue.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from pgchaos.language.lexemes import (
    MEANT,
    OPEN_NAME,
    OPEN_QUOTE,
    OTHER_MARK,
    Comment,
    Lexeme,
    LineCounter,
    Mistake,
    Sql,
)
from pgchaos.language.meta_arguments import line_end
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import (
    BETWEEN,
    DOLLAR,
    IDENTIFIER_REST,
    PARAMETER,
    SPACES,
    WITHIN,
    block_comment_end,
    data_end,
    has_escape_prefix,
    in_identifier,
    quoted_end,
    variable,
)
from pgchaos.language.section_items import Parts, Send
from pgchaos.language.statement_builder import StatementBuilder

COPY_OPEN = r"the data of this COPY … FROM STDIN does not end: a line \. is missing"
MOST_CUTS = 500
MOST_VARIABLES = 100_000
CROWDED = f"more than {MOST_VARIABLES:,} variables of psql in one statement"
COPY_CROWDED = (
    f"more than {MOST_CUTS} times in this file something follows COPY … FROM STDIN; on the same line:"
    " put it on a new line below the data"
)


class SqlScanner(ABC):
    """Scans a file in one pass; a subclass handles psql's commands."""

    __slots__ = ("_as_psql", "_at", "_cuts", "_found", "_inside", "_latest", "_lines", "_shown", "_statement", "_text")

    def __init__(self, text: str, shown: str, *, as_psql: bool = False) -> None:
        self._as_psql = as_psql
        self._latest: Sql | None = None  # the last statement, if it can be sent again as it is
        self._text = text
        self._shown = shown
        self._lines = LineCounter(text)
        self._at = 0
        self._cuts = 0
        self._found: list[Lexeme] = []
        self._inside: list[Lexeme] = []  # comments and mistakes inside the unfinished statement; they will follow it
        self._statement: StatementBuilder | None = None

    def scan(self) -> list[Lexeme]:
        """Return all lexemes in order of line; comments and mistakes inside a statement follow it."""
        more = True
        while more:
            more = self._between() if self._statement is None else self._within(self._statement)
        return self._found

    def _place(self, at: int) -> Place:
        return Place(self._shown, self._lines.line(at))

    def _mistake(self, at: int, text: str) -> None:
        (self._found if self._statement is None else self._inside).append(Mistake(self._place(at), text))

    def _comment(self, start: int, end: int) -> None:
        text = self._text
        alone = not text[text.rfind("\n", 0, start) + 1 : start].strip(SPACES)
        inside = self._statement.place if self._statement else None
        comment = Comment(self._place(start), text[start:end], inside, alone)
        (self._inside if inside else self._found).append(comment)

    def _between(self) -> bool:
        found = BETWEEN.match(self._text, self._at)
        assert found  # each part of the pattern may be empty
        kind, self._at = found.lastgroup, found.end()
        if kind is None and OTHER_MARK.match(self._text, self._at) is not None:
            start, self._at = self._at, line_end(self._text, self._at)
            self._comment(start, self._at)
        elif kind is None:
            self._statement = StatementBuilder(self._place(self._at), self._text, self._at)
        elif kind == "comment":
            self._comment(found.start(kind), self._at)
        elif kind == "block":
            self._block(found.start(kind))
        elif kind == "slash":
            self._command(found.start(kind))
        return kind != "end"

    def _block(self, start: int) -> None:
        end = block_comment_end(self._text, start)
        if end < 0:
            self._unterminated(start, "unterminated block comment: */ is missing (block comments nest)")
        else:
            if self._statement:
                self._statement.hide(start, end, " ")
            elif self._text.startswith(MEANT, start):
                self._comment(start, end)
            self._at = end

    def _unterminated(self, start: int, text: str) -> None:
        self._mistake(start, text)
        self._at = len(self._text)
        if self._statement:
            # as finished, because the mistake already says that something is missing
            self._close(self._statement, Send.PLAIN, self._at)

    def _within(self, statement: StatementBuilder) -> bool:
        text, at = self._text, self._at
        while True:
            found = WITHIN.match(text, at)
            assert found  # its last alternatives match anything that is left
            kind = found.lastgroup
            begin, at = at, found.end()
            # a scan spends most of its time in this loop, so it handles the most frequent kinds
            if kind == "open":
                statement.depth += 1
            elif kind == "close":
                statement.depth -= statement.depth > 0
            elif kind == "variable" and statement.variables < MOST_VARIABLES:
                statement.variable(found.start(kind), at, variable(found[kind]))
            elif kind == "name":
                statement.hide(found.start(kind), at, '""')
            elif kind == "escaped":
                statement.escape(found.start(kind), at)
            elif kind not in ("colon", "more"):
                break
        self._at = at
        start = found.start(kind or "end")
        match kind:
            case "semicolon":
                if statement.ends_at(start):
                    self._finish(statement, Send.PLAIN, start)
            case "quote":
                self._quote(statement, begin, start)
            case "comment":
                statement.hide(start, at, " ")
                self._comment(start, at)
            case "dollar":
                self._dollar(statement, begin, start)
            case "block":
                self._block(start)
            case "slash":
                self._command(start)
            case "variable":
                self._mistake(start, CROWDED)
                self._close(statement, Send.PLAIN, start)
                self._at = len(text)
            case "open_name":
                self._unterminated(start, OPEN_NAME)
            case _:
                self._close(statement, Send.PLAIN, start, finished=False)
                return False
        return True

    def _quote(self, statement: StatementBuilder, begin: int, start: int) -> None:
        end = quoted_end(self._text, start, has_escape_prefix(self._text, begin, start))
        if end < 0:
            self._unterminated(start, OPEN_QUOTE)
        else:
            statement.hide(start, end, "''")
            self._at = end

    def _dollar(self, statement: StatementBuilder, begin: int, start: int) -> None:
        text = self._text
        if in_identifier(text, begin, start):
            self._at = match_end(IDENTIFIER_REST.match(text, start), start + 1)
            return
        opening = DOLLAR.match(text, start)
        if opening is None:
            self._at = match_end(PARAMETER.match(text, start), start + 1)
            return
        close = text.find(opening[0], opening.end())
        if close < 0:
            self._unterminated(start, f"unterminated dollar-quoted string: the closing {opening[0]} is missing")
            return
        statement.dollar_quote(opening.end(), close)
        self._at = close + len(opening[0])
        statement.hide(start, self._at, "''")

    @abstractmethod
    def _command(self, start: int) -> None:
        """Handle the command at a backslash."""

    def _finish(self, statement: StatementBuilder, send: Send, end: int, prefix: Parts = ()) -> None:
        copies = statement.copies(end)
        if copies > 1:
            self._mistake(self._at, r"more than one COPY … FROM STDIN in one \; group is not supported")
        data = self._copy_data(statement, copies) if copies else None
        self._close(statement, send, end, prefix, data)

    def _close(
        self,
        statement: StatementBuilder,
        send: Send,
        end: int,
        prefix: Parts = (),
        data: str | None = None,
        finished: bool = True,
    ) -> Sql:
        sql = statement.sql(end, send, prefix, data, finished)
        is_constant = data is None and all(isinstance(part, str) for part in sql.parts)
        self._latest = sql if is_constant else None
        self._found.append(sql)
        self._discard()
        return sql

    def _discard(self) -> None:
        """End the statement without a lexeme of it."""
        self._found += self._inside
        self._inside.clear()
        self._statement = None

    def _copy_data(self, statement: StatementBuilder, copies: int) -> str | None:
        """Skip the data of COPYs below the line of their terminator; return the data of a single COPY."""
        text = self._text
        begin = after = min(line_end(text, self._at) + 1, len(text))
        end = begin
        for _ in range(copies):
            end, below = data_end(text, after)
            if end < 0 and copies > 1:
                break
            if end < 0:
                if not self._as_psql:
                    self._inside.insert(0, Mistake(statement.place, COPY_OPEN))
                end = below = len(text)
            after = below
        self._leave_out(begin, after)
        return text[begin:end] if copies == 1 else None

    def _leave_out(self, begin: int, after: int) -> None:
        text = self._text
        rest = text[self._at : begin].strip(SPACES)
        if not rest:
            # as in nearly all files, nothing follows the terminator on its line
            self._at = after
            return
        if rest.startswith("--") and "\r" not in rest:
            start = text.index("--", self._at)
            self._inside.append(Comment(self._place(start), text[start : line_end(text, start)], None, False))
            self._at = after
            return
        # as in psql, the rest of the line continues below the data, so the data is removed; this copies the text
        self._cuts += 1
        if self._cuts > MOST_CUTS:
            self._inside.append(Mistake(self._place(self._at), COPY_CROWDED))
            self._at = len(text)
            return
        self._text = text[:begin] + text[after:]
        self._lines.remove(self._text, begin, text.count("\n", begin, after))


def match_end(found: re.Match[str] | None, otherwise: int) -> int:
    """Return the end of a match, or another position without a match."""
    return found.end() if found else otherwise
