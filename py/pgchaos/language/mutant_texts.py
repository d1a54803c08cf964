"""Finds the texts that mutants replace, also after a formatter has changed the file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pgchaos.language.model import Replace

_TOKEN = re.compile(r"(?P<quoted>'(?:[^']|'')*'?|\"[^\"]*\"?)|(?P<space>\s+)|(?P<word>\w+)|(?P<sign>.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextMatch:
    """How the text of a `replace` is found in statements, whose texts are without the `;` that ends them."""

    pattern: re.Pattern[str]  # of the text
    at_end: bool = False  # the text ends with the `;` of a statement

    def count(self, text: str) -> int:
        """Count how often the text occurs in a statement."""
        return sum(1 for _ in self.pattern.finditer(text))

    def replace(self, text: str, new: str) -> str:
        """Replace it in a statement."""
        if self.at_end:
            new = new.rstrip().removesuffix(";")
        return self.pattern.sub(lambda _: new, text)


def text_match(texts: Iterable[str], old: str) -> TextMatch:
    """Choose how a text is found in the statements of a section: exactly as written, where one contains it so.

    Else without regard to white space and to upper and lower case outside quotes; a `;` at its end ends a statement.
    """
    if any(old in text for text in texts):
        return TextMatch(re.compile(re.escape(old)))
    inner = old.strip()
    at_end = inner.endswith(";")
    return TextMatch(_tolerant(inner.removesuffix(";").rstrip(), at_end), at_end)


def _tolerant(old: str, at_end: bool) -> re.Pattern[str]:
    """Make the pattern. A formatter may put white space beside a sign (`a=1`, `a = 1`), and never into a word."""
    parts: list[str] = []
    before = ""  # the kind of the token before
    spaced = False
    for found in _TOKEN.finditer(old):
        kind = str(found.lastgroup)
        if kind == "space":
            spaced = True
            continue
        if parts and spaced and before == kind == "word":
            parts.append(r"\s+")
        elif parts and (spaced or _may_be_spaced(before, kind)):
            parts.append(r"\s*")
        literal = re.escape(found[0])
        parts.append(literal if kind == "quoted" else f"(?i:{literal})")
        before, spaced = kind, False
    return re.compile("".join(parts) + (r"\s*\Z" if at_end else ""))


def _may_be_spaced(before: str, kind: str) -> bool:
    """Whether white space may come between two tokens: not inside a variable like `:'level'`."""
    return "sign" in (before, kind) and "quoted" not in (before, kind)


_BETWEEN = "\0"  # between statements: no file contains it, so no match reaches into the next statement


class ReplaceTargets:
    """The statements in which mutants may replace something, by session; those of all setup sections are under None."""

    def __init__(self, statements: Mapping[str | None, Sequence[str]]) -> None:
        self._statements = statements
        self._joined = {session: _BETWEEN.join(texts) for session, texts in statements.items()}
        self._begins = {
            session: [0, *accumulate(len(text) + 1 for text in texts)] for session, texts in statements.items()
        }

    def find(self, one: Replace) -> list[str]:
        """Give the statement of each occurrence of its text; overlapping ones are one. Its session need not exist."""
        texts, joined = self._statements.get(one.session, ()), self._joined.get(one.session, "")
        # files may have thousands of mutants: together with all statements, and once for nearly all of them
        first = joined.find(one.old)
        if first >= 0:
            is_alone = joined.find(one.old, first + len(one.old)) < 0
            statement = texts[bisect_right(self._begins[one.session], first) - 1]
            return [statement] * (1 if is_alone else joined.count(one.old))
        match = text_match((), one.old)
        return [text for text in texts for _ in range(match.count(text))]
