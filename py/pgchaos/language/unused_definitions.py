"""Finds definitions of a file that assert, and that no statement of the file runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from pgchaos.language.assertion_functions import command_arguments, words_of
from pgchaos.language.assertions import all_items, defined_names
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_tokens import token_at, tokenize

# functions of pgTAP that find or call functions by a pattern, and the catalog in which a query finds them
_FINDS_BY_PATTERN = frozenset({"runtests", "do_tap", "findfuncs", "pg_proc"})
_BEFORE_NAME = ("call", "execute", "fetch", "from", "in", "join", "open", "perform", "select", "table")
# first words of statements that name a definition and do not run it
_NAMES_ONLY = frozenset({"DROP", "ALTER", "COMMENT", "GRANT", "REVOKE", "DEALLOCATE", "CLOSE", "MOVE"})


def unused_definitions(scenario: Scenario, asserting: Collection[str]) -> frozenset[str]:
    """Find the asserting definitions that no statement runs, directly or through other definitions.

    A trigger or cast does not count as a use: the TAP that its function prints is not read.

    Args:
        scenario: the file.
        asserting: the names of its functions, views, cursors and prepared statements that assert, in lower case.

    Returns:
        Those of these names that nothing runs; none if functions are found by a pattern.
    """
    if not asserting:
        return frozenset()
    bodies: dict[str, set[str]] = {}
    waiting = set(words_of("\n".join(command_arguments(all_items(scenario)))))
    values = (*scenario.constants.values(), *(value for matrix in scenario.matrix for value in matrix.values))
    waiting.update(word for value in values for word in words_of(value))
    statements = list(scenario.statements())
    for item in statements:
        defined = defined_names(item)
        if defined:
            words = set(_words(item.text))
            for name in defined:
                # the definition contains its own name
                bodies.setdefault(name, set()).update(words - defined)
        elif (later := _called_later(item)) is not None:
            bodies.setdefault(later, set()).update(_words(item.text))
            if not later.isidentifier() and any(later in other.text for other in statements if other is not item):
                waiting.add(later)
        elif not _only_names(item):
            waiting.update(_words(item.text))
    used = _with_words_of_bodies(waiting, bodies)
    return frozenset() if not _FINDS_BY_PATTERN.isdisjoint(used) else frozenset(asserting) - used


def _with_words_of_bodies(words: Iterable[str], bodies: Mapping[str, set[str]]) -> set[str]:
    """Return words, the words of the definitions that they name, and so on."""
    found: set[str] = set()
    waiting = set(words)
    while waiting:
        word = waiting.pop()
        found.add(word)
        waiting |= bodies.get(word, set()) - found
    return found


def _called_later(item: Statement) -> str | None:
    """Return the name of the aggregate or operator that a statement creates of functions, else None."""
    if item.verb != "CREATE":
        return None
    tokens = tokenize(item.text)
    kind = next((at for at, token in enumerate(tokens[:4]) if token.is_word("aggregate", "operator")), None)
    end = next((at for at, token in enumerate(tokens) if token.is_symbol("(")), 0)
    if kind is None or token_at(tokens, kind + 1).is_word("class", "family"):
        return None
    name = "".join(token.text for token in tokens[kind + 1 : end]).lower()
    return name.rpartition(".")[2] or None


def _only_names(item: Statement) -> bool:
    return item.verb in _NAMES_ONLY or (
        item.verb == "CREATE" and any(token.is_word("trigger", "cast") for token in tokenize(item.text)[1:5])
    )


def _words(text: str, *, is_string: bool = False) -> Iterator[str]:
    """Yield the words of SQL, including those in strings, without those in comments, aliases and prose."""
    tokens = tokenize(text)
    for at, token in enumerate(tokens):
        if token.kind == "string":
            yield from _words(token.text, is_string=True)
            continue
        before, after = token_at(tokens, at - 1), token_at(tokens, at + 1)
        is_alias = before.is_word("as") and not after.is_symbol("(", ".")
        # in a string that is SQL, a name is beside a symbol or behind one of these words
        follows = (before.kind == "symbol" and at > 0) or before.is_word(*_BEFORE_NAME)
        is_prose = is_string and after.is_identifier and not follows
        if not (is_alias or is_prose):
            yield from words_of(token.text)
