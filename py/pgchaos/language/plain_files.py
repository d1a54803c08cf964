"""Plain pgTAP files: whether a file without directives is one, and what it expects in its database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from pgchaos.language.model import Scenario
from pgchaos.language.pgtap_functions import FUNCTIONS, own_functions
from pgchaos.language.section_items import Meta, Statement
from pgchaos.language.sql_skeleton import called

_CREATES_PGTAP = re.compile(r"\bcreate\s+extension\s+(?P<there>if\s+not\s+exists\s+)?\"?pgtap\b", re.IGNORECASE)
_DROPS_PGTAP = re.compile(r"\bdrop\s+extension\s+\"?pgtap\b", re.IGNORECASE)
"""That it is dropped only if it exists says nothing of whether it does."""
_CREATES_TOOLKIT = re.compile(r"\bcreate\s+extension\s+(?:if\s+not\s+exists\s+)?\"?pgchaos\b", re.IGNORECASE)
_WHERE = re.compile(r"\b(?:schema|version)\b", re.IGNORECASE)
_TOOLKIT = re.compile(
    # a name cast to regnamespace is an error where there is no such schema
    r"\bchaos\"?\s*\.|\bsearch_path\b.*\bchaos\b|'chaos'\s*::\s*(?:pg_catalog\s*\.\s*)?regnamespace\b",
    re.IGNORECASE | re.DOTALL,
)
_TEXT = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)


class Contents(Enum):
    """What is in a database before a file begins."""

    NOTHING = "nothing"
    PGTAP = "pgTAP"
    TOOLKIT = "pgTAP and the toolkit"


def contents_for(statements: Iterable[Statement]) -> Contents:
    """Say what a plain pgTAP file expects in its database: pg_prove brings nothing, and a file may bring pgTAP itself.

    Args:
        statements: of the file.

    Returns:
        Nothing where the file creates the extension pgTAP without dropping it before, or where it makes all of pgTAP's
        functions that it calls; the toolkit only where it uses that.
    """
    statements = list(statements)
    texts = [one.text for one in statements]
    creating = next((at for at, text in enumerate(texts) if _creates(text)), None)
    if creating is not None and not any(map(_DROPS_PGTAP.search, texts[: creating + 1])):
        return Contents.NOTHING
    own = own_functions(statements) & FUNCTIONS
    if own:
        calls = (called(_TEXT.sub("''", one.text)) for one in statements if one.verb != "CREATE")
        if frozenset().union(*calls) & FUNCTIONS <= own:
            return Contents.NOTHING
    uses = any(_TOOLKIT.search(one.text) for one in statements)
    makes = any(_CREATES_TOOLKIT.search(one.text) for one in statements)
    return Contents.TOOLKIT if uses and not makes else Contents.PGTAP


def _creates(text: str) -> bool:
    """Say whether a statement creates pgTAP so that it may not be there: `IF NOT EXISTS` alone does nothing then."""
    found = _CREATES_PGTAP.search(text)
    return found is not None and (found["there"] is None or _WHERE.search(text, found.end()) is not None)


def connects_again(scenario: Scenario) -> bool:
    r"""Say whether a plain pgTAP file ends its connection by `\c` and begins another.

    Args:
        scenario: the file.
    """
    items = (item for part in scenario.checks for item in part.items)
    return any(isinstance(item, Meta) and item.name == "c" for item in items)


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
