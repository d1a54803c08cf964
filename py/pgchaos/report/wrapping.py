"""Wraps prose to a width, and leaves text that users copy on one line."""

from __future__ import annotations

import re
import textwrap

_BLANK = "\u00a0"  # a blank at which no line ends
_CODE = re.compile(r"`[^`]*`")


def unbroken(text: str) -> str:
    """Mark a text, such as SQL, that `fitted` must not break."""
    return text.replace(" ", _BLANK)


def fitted(line: str, width: int | None, hang: int = 4) -> str:
    """Break a line of prose at blanks, except within backquotes and `unbroken` text.

    Args:
        line: without a line feed.
        width: columns at most; a longer word stays whole. None: the line stays as it is.
        hang: indentation of each further line.
    """
    if width is not None and len(line) > width:
        marked = _CODE.sub(lambda found: unbroken(found[0]), line)
        hanging = " " * hang
        lines = textwrap.wrap(marked, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)
        line = "\n".join(lines)
    return line.replace(_BLANK, " ")
