"""What was meant by the words of a fault that stand in another order, or too often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_MOMENTS = ("before", "during", "after")
WORDS = frozenset({"of", *_MOMENTS, "when", "on", "at"})
"""Words that begin a part of a fault behind its kind."""

_LEADING = {"kind": 0, "target": 1, "moment": 2}
"""Parts whose place is fixed; the others follow in any order."""
_NEAR = {
    "any": "at any step",
    "at": "at any step",
    "if": "when blocked",
    "when": "when blocked",
    "every": "on every execution",
    "each": "on every execution",
    "once": "on 1st execution",
    "first": "on 1st execution",
}


class _Part(NamedTuple):
    """Words that belong together.

    Args:
        name: what they say.
        words: as written.
    """

    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


def meant(word: str) -> str:
    """Say what was meant by a word that is not understood where it stands: text that begins with its own comma, or ''.

    Args:
        word: as written.
    """
    return f", did you mean `{_NEAR[word]}`?" if word in _NEAR else ""


def twice(words: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Say of the words of a fault which of them exclude each other, or are written twice; '' where none do.

    Args:
        words: as written, behind `fault`.
        kinds: of faults, and what follows each; '' for nothing.
    """
    seen: dict[str, _Part] = {}
    for part in _parts(words, kinds):
        other = seen.setdefault(part.name, part)
        if other is not part:
            return f"`{part}` is written twice" if part == other else f"`{other}` and `{part}` exclude each other"
    return ""


def in_order(words: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Put the words of a fault in order.

    Args:
        words: as written, behind `fault`.
        kinds: of faults, and what follows each; '' for nothing.

    Returns:
        The words in order; '' where they stand in order, or where one of them is none of a fault's.
    """
    parts = list(_parts(words, kinds))
    if sum(len(part.words) for part in parts) < len(words):
        return ""
    ordered = sorted(parts, key=lambda part: _LEADING.get(part.name, len(_LEADING)))
    return "" if ordered == parts else " ".join(map(str, ordered))


def _parts(words: Sequence[str], kinds: Mapping[str, str]) -> Iterator[_Part]:
    """Find the parts that words are made of, up to the first that belongs to none."""
    at, has_kind = 0, False
    while at < len(words):
        part = None if has_kind else _kind(words[at:], kinds)
        has_kind = has_kind or part is not None
        part = part or _part(words[at:])
        if part is None:
            return
        yield part
        at += len(part.words)


def _kind(words: Sequence[str], kinds: Mapping[str, str]) -> _Part | None:
    if words[0] not in kinds:
        return None
    takes = bool(kinds[words[0]]) and len(words) > 1 and words[1] not in WORDS
    return _Part("kind", tuple(words[: 2 if takes else 1]))


def _part(words: Sequence[str]) -> _Part | None:
    first, second, third = (*words[:3], "", "", "")[:3]
    if first == "of" and second:
        return _Part("target", (first, second))
    if first == "after" and second[:1].isdigit():
        return _Part("time", (first, second))
    if first in _MOMENTS:
        return _Part("moment", (first,))
    if (first, second) == ("when", "blocked"):
        return _Part("blocked", (first, second))
    if (first, second, third) == ("at", "any", "step") or (first == "on" and third == "execution"):
        return _Part("which", (first, second, third))
    return None
