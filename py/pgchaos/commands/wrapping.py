"""Fits pages of Markdown to the terminal, whose width it tells. What is piped stays as it is."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator

from pgchaos.report.wrapping import fitted, unbroken

_ITEM = re.compile(r" *([-*]|[0-9]+\.) +")


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where the output goes elsewhere."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def fitted_page(text: str, width: int) -> str:
    """Fit the paragraphs, lists and tables of a page in Markdown; headings and code stay as they are."""
    return "\n".join(fitted(line, width, hang) for line, hang in _lines(text))


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Join the lines of each paragraph, and give each with how far its further lines hang; 0 and no limit for code."""
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
