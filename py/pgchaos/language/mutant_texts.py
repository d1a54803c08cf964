"""Where the texts that mutants replace occur, also after a formatter has changed the file. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from pgchaos.language.model import Replace

_PIECE = re.compile(r"(?P<quoted>'(?:[^']|'')*'?|\"[^\"]*\"?)|(?P<space>\s+)|(?P<word>\w+)|(?P<sign>.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextMatch:
    """How the text of a `replace` is found.

    Args:
        pattern: of the text.
        at_end: the text ends with the `;` of a statement, which is no part of the statement's text.
    """

    pattern: re.Pattern[str]
    at_end: bool = False

    def count(self, text: str) -> int:
        """Count how often the text stands in a statement.

        Args:
            text: of the statement, without the `;` that ends it.
        """
        return sum(1 for _ in self.pattern.finditer(text))

    def replace(self, text: str, new: str) -> str:
        """Put another text in its place.

        Args:
            text: of the statement, without the `;` that ends it.
            new: what comes instead.

        Returns:
            The statement's new text, again without a `;` that ends it.
        """
        if self.at_end:
            new = new.rstrip().removesuffix(";")
        return self.pattern.sub(lambda _: new, text)


def text_match(texts: Iterable[str], old: str) -> TextMatch:
    """Choose how a text is found in the statements of a section.

    Args:
        texts: of its statements.
        old: what is looked for.

    Returns:
        To the letter, where it stands so in one of them. Else but for white space, for upper and lower case outside
        quotes, and with a `;` at its end standing for the end of a statement.
    """
    if any(old in text for text in texts):
        return TextMatch(re.compile(re.escape(old)))
    inner = old.strip()
    at_end = inner.endswith(";")
    return TextMatch(_tolerant(inner.removesuffix(";").rstrip(), at_end), at_end)


def _tolerant(old: str, at_end: bool) -> re.Pattern[str]:
    """Make the pattern. A formatter may put white space beside a sign (`a=1`, `a = 1`), and never into a word."""
    parts: list[str] = []
    before = ""  # the kind of the piece before
    spaced = False
    for found in _PIECE.finditer(old):
        kind = str(found.lastgroup)
        if kind == "space":
            spaced = True
            continue
        if parts and spaced and before == kind == "word":
            parts.append(r"\s+")
        elif parts and (spaced or _loose(before, kind)):
            parts.append(r"\s*")
        literal = re.escape(found[0])
        parts.append(literal if kind == "quoted" else f"(?i:{literal})")
        before, spaced = kind, False
    return re.compile("".join(parts) + (r"\s*\Z" if at_end else ""))


def _loose(before: str, kind: str) -> bool:
    """Say whether white space may come between two pieces that stand together: not inside a name like `:'level'`."""
    return "sign" in (before, kind) and "quoted" not in (before, kind)


_FEW = 16
"""So many searches of a text take no longer than one pass over it in Python."""
_LONGEST_HEAD = 16
_BETWEEN = "\0"
"""Stands between statements: no file holds it, so nothing that is found reaches from one into the next."""

_ByHead: TypeAlias = dict[str, dict[int, set[str]]]
"""Wanted texts by how they begin, and then by their length."""


class Spot(NamedTuple):
    """What is known of a text that is to be replaced.

    Args:
        times: how often it is found; what overlaps counts once, as it would be replaced once.
        statement: the number of the statement that it is first found in, from 0.
    """

    times: int
    statement: int


NOWHERE = Spot(0, 0)


class Replaceable:
    """The statements in which mutants may replace something.

    Args:
        statements: their texts, by the name of the session; those of all setup sections under None.
        replaces: of all mutants.
    """

    def __init__(self, statements: Mapping[str | None, Sequence[str]], replaces: Iterable[Replace]) -> None:
        self._statements = statements
        self._wanted: dict[str | None, set[str]] = {}
        for one in replaces:
            self._wanted.setdefault(one.session, set()).add(one.old)
        self._found: dict[str | None, dict[str, Spot]] = {}

    def spot(self, one: Replace) -> Spot:
        """Say where the text stands that a mutant replaces.

        Args:
            one: of the replaces that were given; its session need not exist.
        """
        found = self._found.get(one.session)
        if found is None:
            found = self._found[one.session] = self._find(one.session)
        return found.get(one.old, NOWHERE)

    def _find(self, session: str | None) -> dict[str, Spot]:
        """Find all that is replaced in a session: to the letter, else but for white space and letters' size."""
        texts = self._statements.get(session, ())
        wanted = self._wanted[session]
        found = spots(texts, wanted)
        bare = {text: _bare(text.strip().removesuffix(";")) for text in wanted if text not in found}
        if not bare:
            return found
        near = spots([_bare(text) for text in texts], {text for text in bare.values() if text})
        for text, without in bare.items():
            spot = near.get(without, NOWHERE) if without else Spot(2, 0)
            if spot.times:
                at = range(spot.statement, spot.statement + 1) if spot.times == 1 else range(len(texts))
                found[text] = _matched(texts, text, at)
        return found

    def statement(self, one: Replace) -> str | None:
        """Give the statement in which a mutant replaces something; None where it is not there exactly once."""
        spot = self.spot(one)
        return self._statements[one.session][spot.statement] if spot.times == 1 else None


def _bare(text: str) -> str:
    return "".join(text.split()).lower()


def _matched(texts: Sequence[str], wanted: str, numbers: Iterable[int]) -> Spot:
    """Find a text in some of the statements as a formatter may have left it."""
    match = text_match((), wanted)
    counts = [(count, number) for number in numbers if (count := match.count(texts[number]))]
    return Spot(sum(count for count, _ in counts), counts[0][1]) if counts else NOWHERE


def spots(texts: Sequence[str], wanted: Collection[str]) -> dict[str, Spot]:
    """Find many texts in the statements of a section.

    Args:
        texts: the statements.
        wanted: what is looked for; nothing empty.

    Returns:
        Where each stands that is found at all.
    """
    whole = _BETWEEN.join(texts)
    begins = [0, *accumulate(len(text) + 1 for text in texts)]
    found = _one_by_one(whole, wanted) if len(wanted) <= _FEW else _in_one_pass(whole, wanted)
    return {text: Spot(count, bisect_right(begins, at) - 1) for text, (count, at) in found.items()}


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
