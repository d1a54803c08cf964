"""Whether a file puts the toolkit's schema on the search_path, so that its functions are called without `chaos.`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgchaos.language.lexemes import Sql
from pgchaos.language.section_items import Statement, Variable

UNQUALIFIED = frozenset({"assert", "unchanged", "eventually", "no_leaks", "blocked_by"})
"""Assertions of the toolkit."""
_PATH = re.compile(r"\bsearch_path\b|\bset\s+(?:(?:session|local)\s+)?schema\b", re.IGNORECASE)
_CHAOS = re.compile(r"\bchaos\b", re.IGNORECASE)


def on_search_path(statements: Iterable[Sql | Statement], arguments: Iterable[str]) -> bool:
    """Say whether a statement sets a search_path that holds the schema chaos.

    Args:
        statements: of the file.
        arguments: of psql's commands, which may give a variable that the search_path is set by.
    """
    for one in statements:
        if _PATH.search(one.text) is None:
            continue
        by_variable = any(isinstance(part, Variable) for part in one.parts)
        if _CHAOS.search(one.text) or (by_variable and any(map(_CHAOS.search, arguments))):
            return True
    return False
