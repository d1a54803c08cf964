"""Plain pgTAP files: whether a file without directives is one, and what its database must contain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

from pgchaos.language.assertion_functions import FUNCTIONS, own_functions
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Meta, Statement
from pgchaos.language.sql_tokens import all_statements, function_calls, tokenize

_TOOLKIT = re.compile(
    # a cast to regnamespace raises an error without the schema
    r"\bchaos\"?\s*\.|\bsearch_path\b.*\bchaos\b|'chaos'\s*::\s*(?:pg_catalog\s*\.\s*)?regnamespace\b",
    re.IGNORECASE | re.DOTALL,
)


class Contents(Enum):
    """The contents of a database before a file runs."""

    NOTHING = "nothing"
    PGTAP = "pgTAP"
    TOOLKIT = "pgTAP and the toolkit"


def contents_for(statements: Iterable[Statement]) -> Contents:
    """Return what the database of a plain pgTAP file must contain: with pg_prove, a file may create pgTAP itself.

    NOTHING if the file creates the extension pgTAP without dropping it before, or creates all functions of pgTAP that
    it calls; TOOLKIT only if it uses the toolkit and does not create it.
    """
    statements = list(statements)
    if _creates_pgtap(statements):
        return Contents.NOTHING
    own = own_functions(statements) & FUNCTIONS
    if own and _called(statements) & FUNCTIONS <= own:
        return Contents.NOTHING
    uses = any(_TOOLKIT.search(one.text) for one in statements)
    creates = any(words[:1] == ["create"] for one in statements for words, _ in _on_extension("pgchaos", one.text))
    return Contents.TOOLKIT if uses and not creates else Contents.PGTAP


def _called(statements: Iterable[Statement]) -> set[str]:
    texts = (one.text for one in statements if one.verb != "CREATE")
    return {call.name.lower() for text in texts for call in function_calls(tokenize(text))}


def _creates_pgtap(statements: Iterable[Statement]) -> bool:
    for statement in statements:
        for words, is_optional in _on_extension("pgtap", statement.text):
            if words[0] == "drop" and not is_optional:
                return False
            # CREATE … IF NOT EXISTS alone does nothing if pgTAP is already there
            if words[0] == "create" and not (is_optional and {"schema", "version"}.isdisjoint(words)):
                return True
    return False


def _on_extension(name: str, text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the words of each CREATE or DROP EXTENSION of that name, and whether they have IF [NOT] EXISTS."""
    if name not in text.lower():
        return
    for statement in all_statements(text):
        words = [token.text.lower() for token in statement.tokens]
        is_optional = words[2:3] == ["if"]
        at = words.index("exists") + 1 if is_optional and "exists" in words else 2
        if words[1:2] == ["extension"] and words[0] in ("create", "drop") and words[at : at + 1] == [name]:
            yield words, is_optional


def connects_again(scenario: Scenario) -> bool:
    r"""Whether a plain pgTAP file connects again by `\c`."""
    items = (item for part in scenario.checks for item in part.items)
    return any(isinstance(item, Meta) and item.name == "c" for item in items)


_PGTAP = re.compile(r"\b(?:no_plan|plan|finish|runtests|do_tap)\s*\(", re.IGNORECASE)
_PLAN_BY_HAND = re.compile(r"(?:'|\\q?echo\s+)1\.\.[0-9]")
_INCLUDES = re.compile(r"^\s*\\(?:ir?|include(?:_relative)?)[ \t]+'?([^'\s;]+)", re.MULTILINE)
_DEEPEST = 5


def prints_tap(path: Path, text: str, depth: int = 0) -> bool:
    """Guess whether a file, or one that it includes, calls pgTAP's plan() or prints a plan itself.

    Nothing is parsed, because every collected file is tested. `depth` is the number of files that include this one.
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
