"""Suggests known names for an unknown one ("did you mean …?")."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

_KEYWORD_LIKE = 0.75
_JOINTS = re.compile(r"[\s_-]+")

_SHOWN = 20

MOST_COMPARED = 300
"""With more names, no similar one is searched: the time would grow with their square."""


def nearest(word: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most similar to a word; `cutoff` is the least similarity, as difflib's ratio from 0 to 1.

    None if none is similar, or if there are more than MOST_COMPARED names.
    """
    if len(known) > MOST_COMPARED:
        return None
    by_case = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[found[0]] if found else None


def suggest(word: str, known: Collection[str], *more: str, none: str = "") -> str:
    """End a message about an unknown name: `, did you mean …?`, or `; there are: …`, or `none` if no name exists."""
    if len(known) > MOST_COMPARED:
        return f"; there are {len(known) + len(more):,} others"
    names = sorted([*known, *more])
    if not names:
        return none
    near = nearest(word, names)
    if near is not None:
        return f", did you mean `{near}`?"
    others = f" and {len(names) - _SHOWN:,} others" if len(names) > _SHOWN else ""
    return f"; there {'is' if len(names) == 1 else 'are'}: {', '.join(names[:_SHOWN])}{others}"


def misspelt_keyword(words: Sequence[str], keywords: Collection[str]) -> tuple[str, str] | None:
    """Find a misspelt keyword of several words, such as `upto`; return the words as written, and the keyword."""
    known = {join_words(keyword): keyword for keyword in keywords}
    found = []
    for count in range(1, min(len(words), 3) + 1):
        written = " ".join(words[:count])
        for joined, keyword in known.items():
            like = difflib.SequenceMatcher(None, join_words(written), joined).ratio()
            if like >= _KEYWORD_LIKE:
                found.append((like, -count, written, keyword))
    if not found:
        return None
    _, _, written, keyword = max(found)
    return None if written == keyword else (written, keyword)


def join_words(words: str) -> str:
    """Join words in lower case, without spaces, hyphens and underscores."""
    return _JOINTS.sub("", words).lower()
