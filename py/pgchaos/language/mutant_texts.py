"""Finds the texts that mutants replace, even if a formatter has changed the file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pgchaos.language.model import Replace

_TOKEN = re.compile(r"(?P<quoted>'(?:[^']|'')*'?|\"[^\"]*\"?)|(?P<space>\s+)|(?P<word>\w+)|(?P<sign>.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextMatch:
    """How the text of a `replace` is found in statements, which are without their final `;`."""

    pattern: re.Pattern[str]  # of the text
    at_end: bool = False  # the text ends with the `;` of a statement

    def count(self, text: str) -> int:
        """Count the occurrences in a statement."""
        return sum(1 for _ in self.pattern.finditer(text))

    def replace(self, text: str, new: str) -> str:
        """Replace all occurrences in a statement."""
        if self.at_end:
            new = new.rstrip().removesuffix(";")
        return self.pattern.sub(lambda _: new, text)


def text_match(texts: Iterable[str], old: str) -> TextMatch:
    """Choose how a text is found in the statements of a section.

    Exactly as written, if a statement contains it. Otherwise white space, and upper and lower case outside quotes, do
    not matter, and a `;` at its end matches the end of a statement.
    """
    if any(old in text for text in texts):
        return TextMatch(re.compile(re.escape(old)))
    inner = old.strip()
    at_end = inner.endswith(";")
    return TextMatch(_tolerant(inner.removesuffix(";").rstrip(), at_end), at_end)


def _tolerant(old: str, at_end: bool) -> re.Pattern[str]:
    """Build the pattern. A formatter may add white space next to a sign (`a=1`, `a = 1`), but not within a word."""
    parts: list[str] = []
    before = ""  # the kind of the previous token
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
    """Whether white space may be between two tokens: not inside a variable such as `:'level'`."""
    return "sign" in (before, kind) and "quoted" not in (before, kind)


_BETWEEN = "\0"  # separates statements: no file contains it, so no match extends into the next statement


class _Joined:
    """The statements of a session as one text, which is faster to search than many texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.text = _BETWEEN.join(texts)
        self._begins = [0, *accumulate(len(text) + 1 for text in texts)]

    def containing(self, wanted: str) -> Iterator[int]:
        """Yield the numbers of the statements that contain a text, in order."""
        at = self.text.find(wanted)
        while at >= 0:
            number = bisect_right(self._begins, at) - 1
            yield number
            at = self.text.find(wanted, self._begins[number + 1])


class ReplaceTargets:
    """The statements in which mutants may replace texts, by session; those of all setup sections are under None."""

    def __init__(self, statements: Mapping[str | None, Sequence[str]]) -> None:
        self._statements = statements
        self._joined = {session: _Joined(texts) for session, texts in statements.items() if texts}
        self._bare: dict[str | None, _Joined] = {}

    def find(self, one: Replace) -> list[str]:
        """Return the statement of each occurrence of the text, without overlaps; none if its session does not exist."""
        joined = self._joined.get(one.session)
        if joined is None:
            return []
        texts = self._statements[one.session]
        found = [texts[number] for number in joined.containing(one.old)]
        if found:
            return [text for text in found for _ in range(text.count(one.old))]
        if one.session not in self._bare:
            self._bare[one.session] = _Joined([_bare(text) for text in texts])
        bare = _bare(one.old.strip().removesuffix(";"))
        near = [texts[number] for number in self._bare[one.session].containing(bare)]
        if not near:
            return []
        match = text_match((), one.old)
        return [text for text in near for _ in range(match.count(text))]


def _bare(text: str) -> str:
    """Remove white space and case: what a tolerant pattern matches in a text, contains its own text in this form."""
    return "".join(text.split()).lower()
