"""Statements that continue beyond the end that their author meant: a `;`, quote or parenthesis is missing.

Such a statement contains the statements and directives below it. It is reported once, at the first sign; other reports
about it might be wrong and are suppressed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pgchaos.language.directive_table import DIRECTIVES, SectionDirective
from pgchaos.language.directives import Directive, find_directive
from pgchaos.language.lexemes import NOT_CLOSED, OPEN_NAME, OPEN_QUOTE, Mistake, Sql
from pgchaos.language.meta_commands import terminators
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import IDENTIFIER_CHARACTER
from pgchaos.language.sql_tokens import open_parenthesis, tokenize

_DIRECTIVE = "-- chaos:"


@dataclass(frozen=True, slots=True)
class _QuotedDirective:
    """A directive in quotes, with nothing else on its line."""

    quote: Place  # where the quote begins
    line: int  # of the directive
    word: str
    attached: bool  # the quote directly follows a letter, as in `it's`, so it probably does not begin a string


def _quoted_directives(sql: Sql) -> Iterator[_QuotedDirective]:
    """Yield the first directive in each quote of a statement, except dollar quotes."""
    if _DIRECTIVE not in sql.text:
        return
    for token in tokenize(sql.text, sql.place.line):
        if token.kind not in ("string", "name") or _DIRECTIVE not in token.text or sql.text[token.start] == "$":
            continue
        attached = token.start > 0 and bool(IDENTIFIER_CHARACTER.match(sql.text, token.start - 1))
        for number, line in enumerate(token.text.split("\n")):
            found = find_directive(line.strip()) if number and line.lstrip().startswith(_DIRECTIVE) else None
            if found is not None and found.word in DIRECTIVES and not found.mistake:
                quote = Place(sql.place.path, token.line)
                yield _QuotedDirective(quote, token.line + number, found.word, attached)
                break


class UnterminatedStatements:
    """The statements of a file and of those that it includes, checked for a missing end."""

    def __init__(self, texts: Mapping[str, str], complain: Callable[[Place, str], None]) -> None:
        self._texts = texts
        self._complain = complain
        self._run_together: set[Place] = set()
        self._mistakes: list[Place] = []
        self._unfinished: list[Sql] = []
        self._lines: dict[str, list[str]] = {}
        self._latest: Sql | None = None
        self._quoted: list[_QuotedDirective] = []

    def sql(self, sql: Sql) -> bool:
        """Check a statement, before the comments and mistakes in it; return whether its quotes contain directives."""
        self._latest = sql
        if not sql.finished:
            self._unfinished.append(sql)
        found = list(_quoted_directives(sql))
        # a file may have directives in strings on purpose: it is a mistake only with another sign of one
        self._quoted += found
        attached = [quoted for quoted in found if quoted.attached]
        for quoted in attached:
            self._run_together.add(sql.place)
            self._report_quote(quoted)
        return bool(attached)

    def mistake(self, mistake: Mistake) -> None:
        """Report a mistake of the scanner, unless its cause was reported."""
        self._mistakes.append(mistake.place)
        # it was reported if a directive is in the same unfinished statement
        if mistake.inside not in self._run_together and not self._reports_earlier_quote(mistake):
            self._complain(mistake.place, mistake.text)

    def directive(self, found: Directive, place: Place, begun: Place) -> None:
        """Report a directive inside the statement that begins at `begun`."""
        if begun not in self._run_together and not found.mistake:
            self._complain(
                place,
                f"`{found.word}` is inside the statement that begins in line {begun.line}:"
                f" {self._cause(found.word, place, begun)}",
            )
        self._run_together.add(begun)

    def unclear(self, everything: Iterable[Sql]) -> frozenset[Place]:
        """Return the statements of a file that may contain more than was meant, because a `;` or quote is missing."""
        unclear = set(self._run_together)
        if self._mistakes:
            mistakes = {(place.path, place.line) for place in self._mistakes}
            for sql in everything:
                lines = range(sql.place.line, sql.place.line + sql.text.count("\n") + 1)
                if any((sql.place.path, line) in mistakes for line in lines):
                    unclear.add(sql.place)
        return frozenset(unclear)

    def report_unfinished(self, unclear: frozenset[Place]) -> None:
        """Report the statements in which a file ends, except the `unclear` ones, which were reported."""
        for sql in self._unfinished:
            if sql.place not in unclear:
                last = self._last_line(Place(sql.place.path, sys.maxsize), sql.place)
                opened = open_parenthesis(sql.text, sql.place.line)
                cause = f"missing `;` in line {last}?" if opened is None else NOT_CLOSED.format(opened)
                self._complain(sql.place, f"the file ends inside the statement that begins here: {cause}")

    def _reports_earlier_quote(self, mistake: Mistake) -> bool:
        """If an earlier quote with a directive in it caused an unterminated quote, report that; return whether."""
        if mistake.text not in (OPEN_QUOTE, OPEN_NAME):
            return False
        path, line = mistake.place
        earlier = (quoted for quoted in self._quoted if quoted.quote.path == path and quoted.quote.line < line)
        found = next(earlier, None)
        if found is not None:
            self._report_quote(found)
        return found is not None

    def _report_quote(self, quoted: _QuotedDirective) -> None:
        text = f"the quote that begins here holds `{quoted.word}` in line {quoted.line}: a quote is missing or added"
        self._complain(quoted.quote, f"{text} before it; inside a string, write '' for a quote")

    def _cause(self, word: str, end: Place, begun: Place) -> str:
        sql = self._latest
        line = open_parenthesis(sql.text, sql.place.line, end.line) if sql is not None else None
        if line is not None:
            return NOT_CLOSED.format(line)
        return f"missing {self._missing(word, end)} in line {self._last_line(end, begun)}?"

    def _missing(self, word: str, end: Place) -> str:
        # at the end of a section \gset would be useless
        if self._latest is None or isinstance(DIRECTIVES[word], SectionDirective):
            return "`;`"
        lines = self._latest.text.split("\n")
        return terminators("\n".join(lines[: end.line - self._latest.place.line]))

    def _last_line(self, end: Place, begun: Place) -> int:
        """Return the last line before `end` that has more than a comment, where the `;` is missing."""
        lines = self._lines.get(end.path)
        if lines is None:
            lines = self._lines[end.path] = self._texts[end.path].split("\n")
        for number in range(min(end.line - 1, len(lines)), begun.line, -1):
            text = lines[number - 1].strip()
            if text and not text.startswith("--"):
                return number
        return begun.line
