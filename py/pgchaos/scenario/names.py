"""Names: how they may look, and which known one somebody meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

NAME = re.compile(r"[^\W\d][\w-]*")
"""Of a session, step, barrier or signal: a letter or underscore, then letters, digits, underscores, hyphens."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
"""Of a psql variable that a scenario declares; under three letters it is too easily hit by accident (`[a:n]`)."""

TAGS = frozenset({"slow", "concurrent", "destructive", "smoke"})
SESSION_VARIABLES = frozenset({"worker", "iteration"})
RESERVED_SESSIONS = {
    "setup": "`in setup` of a mutant means the setup sections",
    "server": "`of server` of a fault means the whole server",
}


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Give the known name that a word is most like.

    Args:
        word: as written.
        known: the names that there are.
        cutoff: how alike, from 0 to 1, by difflib's measure.

    Returns:
        The nearest name, or None where none is near.
    """
    by_case = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[found[0]] if found else None


def meant(word: str, known: Iterable[str], *, none: str = "") -> str:
    """End a message about an unknown name: the nearest one, or all there are.

    Args:
        word: as written.
        known: the names that there are.
        none: what to say where there are none at all.

    Returns:
        Text that begins with its own separator, or ''.
    """
    names = sorted(known)
    if not names:
        return none
    near = nearest(word, names)
    if near is not None:
        return f", did you mean `{near}`?"
    shown = ", ".join(names[:12])
    return f"; there {'is' if len(names) == 1 else 'are'}: {shown}"
