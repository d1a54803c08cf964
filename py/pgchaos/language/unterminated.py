"""Statements that do not end where their author ended them: what shows it, and where what is missing belongs.

A `;`, quote or parenthesis that is missing runs statements and directives together. It is told of once, at the first
thing that shows it; whatever else would be said of such a statement may be wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from pgchaos.language.directives import WORDS, Directive
from pgchaos.language.lexemes import Mistake, Sql
from pgchaos.language.meta_commands import terminators
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import OPEN_NAME, OPEN_QUOTE
from pgchaos.language.unclosed import MARK, NOT_CLOSED, Swallowed, open_parenthesis, swallowed


class UnterminatedStatements:
    """The statements of a file, looked at for an end that is missing.

    Args:
        texts: of the file and of those that it includes, by the name that each is shown with.
        complain: called with the place and text of each problem.
    """

    def __init__(self, texts: Mapping[str, str], complain: Callable[[Place, str], None]) -> None:
        self._texts = texts
        self._complain = complain
        self._run_together: set[Place] = set()
        self._mistakes: list[Place] = []
        self._unfinished: list[Sql] = []
        self._lines: dict[str, list[str]] = {}
        self._latest: Sql | None = None
        self._swallowed: list[tuple[str, Swallowed]] = []

    def sql(self, sql: Sql) -> bool:
        """Look at a statement.

        Args:
            sql: as the lexer cut it out; its comments and mistakes follow.

        Returns:
            True where part of the file stands in its quotes, and so is lost.
        """
        self._latest = sql
        if not sql.finished:
            self._unfinished.append(sql)
        lost = False
        if MARK in sql.text:
            for quote in swallowed(sql):
                # a file may write directives into strings: only with other signs of it is that a mistake
                self._swallowed.append((sql.place.path, quote))
                if quote.attached:
                    lost = True
                    self._run_together.add(sql.place)
                    self._tell_swallowed(quote, sql.place.path)
        return lost

    def mistake(self, mistake: Mistake) -> None:
        """Tell of a mistake, unless something before has told of it.

        Args:
            mistake: as the lexer found it.
        """
        self._mistakes.append(mistake.place)
        # a directive in the same unfinished statement has told of it
        if mistake.inside not in self._run_together and not self._odd_apostrophe(mistake):
            self._complain(mistake.place, mistake.text)

    def directive(self, found: Directive, place: Place, begun: Place) -> None:
        """Tell of a directive inside a statement.

        Args:
            found: the directive.
            place: where it stands.
            begun: where the statement begins.
        """
        if begun not in self._run_together and not found.slip:
            self._complain(
                place,
                f"`{found.word}` stands inside the statement that begins in line {begun.line}:"
                f" {self._cause(found.word, place, begun)}",
            )
        self._run_together.add(begun)

    def unclear(self, everything: Iterable[Sql]) -> frozenset[Place]:
        """Find the statements that may hold more than was meant: a `;` or a quote is missing.

        Args:
            everything: all statements of the file.
        """
        unclear = set(self._run_together)
        if self._mistakes:
            mistakes = {(place.path, place.line) for place in self._mistakes}
            for sql in everything:
                lines = range(sql.place.line, sql.place.line + sql.text.count("\n") + 1)
                if any((sql.place.path, line) in mistakes for line in lines):
                    unclear.add(sql.place)
        return frozenset(unclear)

    def tell_of_the_last(self, unclear: frozenset[Place]) -> None:
        """Tell of statements that a file ends in.

        Args:
            unclear: those of which something else has told.
        """
        for sql in self._unfinished:
            if sql.place not in unclear:
                last = self._last_line(Place(sql.place.path, sys.maxsize), sql.place)
                opened = open_parenthesis(sql)
                cause = f"missing `;` in line {last}?" if opened is None else NOT_CLOSED.format(opened)
                self._complain(sql.place, f"the file ends inside the statement that begins here: {cause}")

    def _odd_apostrophe(self, mistake: Mistake) -> bool:
        """Tell where a quote that does not end has its cause, if that is an earlier one that swallowed a directive."""
        if mistake.text not in (OPEN_QUOTE, OPEN_NAME):
            return False
        path, line = mistake.place.path, mistake.place.line
        earlier = next((quote for at, quote in self._swallowed if at == path and quote.quote < line), None)
        if earlier is not None:
            self._tell_swallowed(earlier, path)
        return earlier is not None

    def _tell_swallowed(self, quote: Swallowed, path: str) -> None:
        text = f"the quote that begins here swallows `{quote.word}` in line {quote.line}: is there one too many, or one"
        self._complain(Place(path, quote.quote), f"{text} too few before it? Inside a string it is written twice")

    def _cause(self, word: str, end: Place, begun: Place) -> str:
        line = open_parenthesis(self._latest, end.line) if self._latest is not None else None
        if line is not None:
            return NOT_CLOSED.format(line)
        return f"missing {self._missing(word, end)} in line {self._last_line(end, begun)}?"

    def _missing(self, word: str, end: Place) -> str:
        # at the end of a section nothing is left that could use what \gset sets
        if self._latest is None or WORDS[word] == "section":
            return "`;`"
        # the comments inside a statement follow it
        lines = self._latest.text.split("\n")
        return terminators("\n".join(lines[: end.line - self._latest.place.line]))

    def _last_line(self, end: Place, begun: Place) -> int:
        """Give the last line before `end` that holds something other than a comment: there the `;` is missing."""
        lines = self._lines.get(end.path)
        if lines is None:
            lines = self._lines[end.path] = self._texts[end.path].split("\n")
        for number in range(min(end.line - 1, len(lines)), begun.line, -1):
            text = lines[number - 1].strip()
            if text and not text.startswith("--"):
                return number
        return begun.line
