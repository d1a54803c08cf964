"""Fits prose to a width, and leaves what is to be copied on one line."""

from __future__ import annotations

import re
import textwrap

_BLANK = "\u00a0"  # no line ends at it
_CODE = re.compile(r"`[^`]*`")


def unbroken(text: str) -> str:
    """Mark a text, such as SQL, within which `fitted` must not end a line."""
    return text.replace(" ", _BLANK)


def fitted(line: str, width: int | None, hang: int = 4) -> str:
    """Break a line of prose at blanks, except within backquotes and what is `unbroken`.

    Args:
        line: without a line feed.
        width: columns at most; a word that is longer stays whole. None: the line stays as it is.
        hang: columns before each further line.
    """
    if width is not None and len(line) > width:
        marked = _CODE.sub(lambda found: unbroken(found[0]), line)
        hanging = " " * hang
        lines = textwrap.wrap(marked, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
        line = "\n".join(lines)
    return line.replace(_BLANK, " ")
