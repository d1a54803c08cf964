"""What keeps a statement from ending where its author ended it: a parenthesis, or an odd apostrophe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pgchaos.language.directives import WORDS, directive
from pgchaos.language.lexemes import Sql
from pgchaos.language.psql_patterns import IDENTIFIER_CHARACTER
from pgchaos.language.sql_tokens import SqlToken, tokenize

NOT_CLOSED = "an opening parenthesis in line {} is not closed"
MARK = "-- chaos:"
"""What every directive begins with."""


@dataclass(frozen=True, slots=True)
class Swallowed:
    """A directive that stands in quotes, with nothing else on its line.

    Args:
        quote: the line on which the quote begins.
        line: of the directive.
        word: the directive.
        attached: the quote directly follows a letter, as in `it's`, so it hardly begins a string.
    """

    quote: int
    line: int
    word: str
    attached: bool


def open_parenthesis(sql: Sql, end: int = sys.maxsize) -> int | None:
    """Find the parenthesis that keeps a statement open.

    Args:
        sql: the statement.
        end: the line before which it should have ended.

    Returns:
        The line of the last parenthesis that is open there and not closed further down either, else None.
    """
    opened: list[SqlToken] = []
    for token in tokenize(sql.text, sql.place.line):
        if token.is_symbol("("):
            opened.append(token)
        elif token.is_symbol(")") and opened:
            opened.pop()
    lines = [token.line for token in opened if token.line < end]
    return lines[-1] if lines else None


def swallowed(sql: Sql) -> Iterator[Swallowed]:
    """Find the quotes of a statement, not dollar quotes, that hold directives.

    Args:
        sql: the statement.

    Yields:
        The first directive of each, in order.
    """
    if MARK not in sql.text:
        return
    for token in tokenize(sql.text, sql.place.line):
        if token.kind in ("string", "name") and MARK in token.text and sql.text[token.start] != "$":
            attached = token.start > 0 and bool(IDENTIFIER_CHARACTER.match(sql.text, token.start - 1))
            for number, line in enumerate(token.text.split("\n")):
                found = directive(line.strip()) if number and line.lstrip().startswith(MARK) else None
                if found is not None and found.word in WORDS and not found.slip:
                    yield Swallowed(token.line, token.line + number, found.word, attached)
                    break
