r"""Whether a file without directives looks like one that prints TAP: by pgTAP, by hand, or by what it includes."""

from __future__ import annotations

import re
from pathlib import Path

_PGTAP = re.compile(r"\b(?:no_plan|plan|finish|runtests|do_tap)\s*\(", re.IGNORECASE)
_PLAN_BY_HAND = re.compile(r"(?:'|\\q?echo\s+)1\.\.[0-9]")
_INCLUDES = re.compile(r"^\s*\\(?:ir?|include(?:_relative)?)[ \t]+'?([^'\s;]+)", re.MULTILINE)
_DEEPEST = 5


def prints_tap(path: Path, text: str, depth: int = 0) -> bool:
    """Say whether a file seems to print TAP, by a glance at its text.

    Args:
        path: of the file.
        text: that it holds.
        depth: how many files include this one.

    Returns:
        True where it, or a file that it includes, calls pgTAP's plan() or its like, or writes a plan by hand.
    """
    if _PGTAP.search(text) or _PLAN_BY_HAND.search(text):
        return True
    if depth >= _DEEPEST or "\\i" not in text:
        return False
    return any(_included_prints(path, name, depth) for name in dict.fromkeys(_INCLUDES.findall(text)))


def _included_prints(path: Path, name: str, depth: int) -> bool:
    beside = path.parent / name
    found = beside if beside.is_file() else Path(name)
    try:
        return prints_tap(found, found.read_text(encoding="utf-8", errors="replace"), depth + 1)
    except (OSError, ValueError):
        return False
