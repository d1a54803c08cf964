"""Names: how they may look, and which known one somebody meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

NAME = re.compile(r"[^\W\d][\w-]*")
"""Of a session, step, barrier or signal: a letter or underscore, then letters, digits, underscores, hyphens."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
"""Of a psql variable that a scenario declares; under three letters it is too easily hit by accident (`[a:n]`)."""

KEYWORDS = ("unless blocked", "up to", "may be empty", "at end", "when blocked", "at any step", "own server")
"""Keywords of more than one word; those that are the name of a directive are not among them."""

TAGS = frozenset({"slow", "concurrent", "destructive", "smoke", "corruption", "recovery"})
SESSION_VARIABLES = frozenset({"worker", "iteration"})
RESERVED_SESSIONS = {
    "setup": "`in setup` of a mutant means the setup sections",
    "server": "`of server` of a fault means the whole server",
    **{
        name: f"`of {name}` of a fault means that process of the server"
        for name in ("checkpointer", "walwriter", "bgwriter", "autovacuum")
    },
}
_JOINTS = re.compile(r"[\s_-]+")
_KEYWORD_LIKE = 0.75
MOST_COMPARED = 300
"""Names that a word is compared with: each misspelt name of a file costs that much, not all that the file holds."""


def nearest(word: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Give the known name that a word is most like.

    Args:
        word: as written.
        known: the names that there are.
        cutoff: how alike, from 0 to 1, by difflib's measure.

    Returns:
        The nearest name, or None where none is near, or where there are too many to look at each.
    """
    if len(known) > MOST_COMPARED:
        return None
    by_case = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[found[0]] if found else None


def meant(word: str, known: Collection[str], *more: str, none: str = "") -> str:
    """End a message about an unknown name: the nearest one, or all there are.

    Args:
        word: as written.
        known: the names that there are.
        more: further names.
        none: what to say where there are none at all.

    Returns:
        Text that begins with its own separator, or ''.
    """
    if len(known) > MOST_COMPARED:
        return f"; there are {len(known) + len(more):,} others"
    names = sorted([*known, *more])
    if not names:
        return none
    near = nearest(word, names)
    if near is not None:
        return f", did you mean `{near}`?"
    shown = ", ".join(names[:12])
    return f"; there {'is' if len(names) == 1 else 'are'}: {shown}"


def keyword(words: Sequence[str], usage: str) -> tuple[str, str] | None:
    """Give the keyword of more than one word that was meant by `upto`, `unless-blocked` or `maybe empty`.

    Args:
        words: as written, from the first that is not understood.
        usage: how the directive is written: only keywords that stand there are looked at.

    Returns:
        What was written for the keyword, and the keyword; None where none is near, or where it is written right.
    """
    known = {unspaced(name): name for name in KEYWORDS if name in usage}
    found = []
    for count in range(1, min(len(words), 3) + 1):
        written = " ".join(words[:count])
        for bare, name in known.items():
            like = difflib.SequenceMatcher(None, unspaced(written), bare).ratio()
            if like >= _KEYWORD_LIKE:
                found.append((like, -count, written, name))
    if not found:
        return None
    _, _, written, name = max(found)
    return None if written == name else (written, name)


def unspaced(words: str) -> str:
    """Write words as one, in small letters, without the hyphens and underscores between them."""
    return _JOINTS.sub("", words).lower()
