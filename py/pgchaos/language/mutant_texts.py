"""Finds the texts that mutants replace, also after a formatter has changed the file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeAlias

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


# Files may have thousands of mutants: all texts of a section are found together, in one pass over its statements.

_FEW = 16  # so many searches take no longer than the one pass, which is in Python
_LONGEST_HEAD = 16
_BETWEEN = "\0"  # between statements: no file contains it, so no match reaches into the next statement

_ByHead: TypeAlias = dict[str, dict[int, set[str]]]  # texts by their beginning, then by their length


class Occurrence(NamedTuple):
    """Where a text that is to be replaced occurs."""

    times: int  # how often; overlapping ones count once, as one replacement would change them
    statement: int  # the number of the statement in which it first occurs, from 0


NOWHERE = Occurrence(0, 0)


class ReplaceTargets:
    """The statements in which mutants may replace something, by session; those of all setup sections are under None."""

    def __init__(self, statements: Mapping[str | None, Sequence[str]], replaces: Iterable[Replace]) -> None:
        self._statements = statements
        self._wanted: dict[str | None, set[str]] = {}
        for one in replaces:
            self._wanted.setdefault(one.session, set()).add(one.old)
        self._found: dict[str | None, dict[str, Occurrence]] = {}

    def find(self, one: Replace) -> Occurrence:
        """Find the text of one of the given replaces; its session need not exist."""
        found = self._found.get(one.session)
        if found is None:
            found = self._found[one.session] = self._find_all(one.session)
        return found.get(one.old, NOWHERE)

    def statement(self, one: Replace) -> str | None:
        """Give the statement that it changes; None where its text does not occur exactly once."""
        found = self.find(one)
        return self._statements[one.session][found.statement] if found.times == 1 else None

    def _find_all(self, session: str | None) -> dict[str, Occurrence]:
        """Find all texts of a session: exactly, else without regard to white space and case."""
        texts = self._statements.get(session, ())
        wanted = self._wanted[session]
        found = find_texts(texts, wanted)
        bare = {text: _bare(text.strip().removesuffix(";")) for text in wanted if text not in found}
        if not bare:
            return found
        near = find_texts([_bare(text) for text in texts], {text for text in bare.values() if text})
        for text, without in bare.items():
            candidate = near.get(without, NOWHERE) if without else Occurrence(2, 0)
            if candidate.times:
                only = range(candidate.statement, candidate.statement + 1)
                found[text] = _match(texts, text, only if candidate.times == 1 else range(len(texts)))
        return found


def _bare(text: str) -> str:
    return "".join(text.split()).lower()


def _match(texts: Sequence[str], wanted: str, numbers: Iterable[int]) -> Occurrence:
    """Find a text in some of the statements as a formatter may have left it."""
    match = text_match((), wanted)
    counts = [(count, number) for number in numbers if (count := match.count(texts[number]))]
    return Occurrence(sum(count for count, _ in counts), counts[0][1]) if counts else NOWHERE


def find_texts(texts: Sequence[str], wanted: Collection[str]) -> dict[str, Occurrence]:
    """Find many texts in the statements of a section; none of the texts is empty."""
    whole = _BETWEEN.join(texts)
    begins = [0, *accumulate(len(text) + 1 for text in texts)]
    found = _one_by_one(whole, wanted) if len(wanted) <= _FEW else _in_one_pass(whole, wanted)
    return {text: Occurrence(count, bisect_right(begins, at) - 1) for text, (count, at) in found.items()}


def _one_by_one(whole: str, wanted: Iterable[str]) -> dict[str, tuple[int, int]]:
    return {text: (whole.count(text), at) for text in wanted if (at := whole.find(text)) >= 0}


def _in_one_pass(whole: str, wanted: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Look at each position once for each length of a beginning; there are five lengths at most."""
    found: dict[str, tuple[int, int]] = {}
    ends: dict[str, int] = {}
    for size, by_head in _heads(wanted).items():
        for at in range(len(whole) - size + 1):
            sizes = by_head.get(whole[at : at + size])
            if sizes is None:
                continue
            for length, texts in sizes.items():
                text = whole[at : at + length]
                if text in texts and at >= ends.get(text, 0):
                    count, first = found.get(text, (0, at))
                    found[text], ends[text] = (count + 1, first), at + length
    return found


def _heads(wanted: Iterable[str]) -> dict[int, _ByHead]:
    heads: dict[int, _ByHead] = {}
    for text in wanted:
        size = min(_LONGEST_HEAD, 1 << (len(text).bit_length() - 1))
        heads.setdefault(size, {}).setdefault(text[:size], {}).setdefault(len(text), set()).add(text)
    return heads
