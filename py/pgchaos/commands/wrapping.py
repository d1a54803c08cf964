"""Wraps pages of Markdown to the width of the terminal. Piped output is not wrapped."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator

from pgchaos.report.wrapping import fitted, unbroken

_ITEM = re.compile(r" *([-*]|[0-9]+\.) +")


def terminal_width() -> int | None:
    """Return the columns of the terminal; None if the output is not a terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def fitted_page(text: str, width: int) -> str:
    """Wrap the paragraphs, lists and tables of a page in Markdown; headings and code stay unchanged."""
    return "\n".join(fitted(line, width, hang) for line, hang in _lines(text))


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Join the lines of each paragraph, and yield each with the indentation of further lines; code is not broken."""
    paragraph: list[str] = []
    hang, fenced = 0, False
    for line in [*text.splitlines(), ""]:
        bare = line.strip()
        item = _ITEM.match(line)
        is_fence = bare.startswith("```")
        other = fenced or is_fence or not bare or bare[0] in "|#" or (line.startswith("    ") and not paragraph)
        if paragraph and (other or item):
            yield " ".join(paragraph), hang
            paragraph = []
        fenced ^= is_fence
        if other:
            yield (line, 4) if bare.startswith("|") and not fenced else (unbroken(line), 0)
        elif paragraph:
            paragraph.append(bare)
        else:
            paragraph, hang = [line.rstrip()], len(item[0]) if item else len(line) - len(line.lstrip())
