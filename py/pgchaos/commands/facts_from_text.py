"""Reads facts about the tables that setup creates from the text of a file, in the form of `touched_relations`.

A server knows more (`explain --server`): what functions, DO blocks and included dumps create, and what exists already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_tokens import SqlStatement, SqlToken, last_part, token_at, top_statements

Fact: TypeAlias = tuple[str, str, str]

_LEVEL = "default_transaction_isolation"
_BEFORE_A_KIND = frozenset(
    "create or replace temp temporary unlogged global local materialized recursive constraint".split()  # noqa: SIM905  # read better so
)
_EXPRESSIONS = ("default", "check")


def facts_in(scenario: Scenario) -> list[Fact]:
    """Read the statements of setup: facts as `touched_relations.known_from` takes them."""
    level = next((one.value for one in scenario.server if one.name == _LEVEL), "read committed")
    facts: list[Fact] = []
    for section in scenario.setup:
        for item in section.items:
            if isinstance(item, Statement):
                for statement in top_statements(item.text):
                    facts += _facts(statement, item.text)
    return [("level", level.strip("'"), ""), *_of_known_relations(facts)]


def _of_known_relations(facts: list[Fact]) -> Iterator[Fact]:
    """Omit facts about unknown relations; a relation that depends on one of these may touch anything."""
    relations = {name for what, name, _ in facts if what == "relation"}
    for what, name, other in facts:
        if what in ("view", "same", "refers") and other not in relations:
            what, other = "anything", ""
        if what == "function" or name in relations:
            yield what, name, other


def _facts(statement: SqlStatement, text: str) -> Iterator[Fact]:
    tokens = statement.tokens
    if statement.verb == "select" and any(token.is_word("into") for token in tokens):
        yield "relation", _name_behind(tokens, "into"), ""
    if statement.verb == "alter" and token_at(tokens, 1).is_word("table"):
        name = _name(tokens, 2)
        yield from _references(tokens, name)
        if any(token.is_word("security") for token in tokens):
            yield "anything", name, ""
    if statement.verb != "create":
        return
    at = next((at for at, token in enumerate(tokens) if not token.is_word(*_BEFORE_A_KIND)), 0)
    name = _name(tokens, at + 1)
    match tokens[at].text:
        case "table":
            yield "relation", name, ""
            yield from _references(tokens, name)
            yield from _parents(tokens, name)
            yield from (("value", name, one) for one in _expressions(tokens, text))
        case "view":
            yield "relation", name, ""
            yield from (("view", name, other) for other in _read(tokens))
            yield "text", name, text[tokens[at].end : tokens[-1].end]
        case "sequence":
            yield "relation", name, ""
        case "trigger":
            yield "written", _name_behind(tokens, "on"), ""
        case "rule" | "policy":
            yield "anything", _name_behind(tokens, "to" if tokens[at].text == "rule" else "on"), ""
        case "function" | "procedure":
            yield "function", name, ""


def _name(tokens: Sequence[SqlToken], at: int) -> str:
    """Return the name at an index, without schema, after IF NOT EXISTS or ONLY."""
    while token_at(tokens, at).is_word("if", "not", "exists", "only"):
        at += 1
    return token_at(tokens, last_part(tokens, at)).text


def _name_behind(tokens: Sequence[SqlToken], word: str) -> str:
    return next((_name(tokens, at + 1) for at, token in enumerate(tokens) if token.is_word(word)), "")


def _references(tokens: Sequence[SqlToken], name: str) -> Iterator[Fact]:
    for at, token in enumerate(tokens):
        if token.is_word("references"):
            yield "refers", name, _name(tokens, at + 1)


def _parents(tokens: Sequence[SqlToken], name: str) -> Iterator[Fact]:
    for at, token in enumerate(tokens):
        if (token.is_word("partition") and token_at(tokens, at + 1).is_word("of")) or token.is_word("inherits"):
            yield "same", name, _name(tokens, at + 2)


def _read(tokens: Sequence[SqlToken]) -> Iterator[str]:
    for at, token in enumerate(tokens):
        if token.is_word("from", "join"):
            yield _name(tokens, at + 1)


def _expressions(tokens: Sequence[SqlToken], text: str) -> Iterator[str]:
    """Yield the text of each DEFAULT and CHECK, up to the end of its column."""
    for at, token in enumerate(tokens):
        if token.is_word(*_EXPRESSIONS):
            depth, end = 0, at
            for one in tokens[at + 1 :]:
                depth += one.is_symbol("(") - one.is_symbol(")")
                if depth < 0 or (depth == 0 and one.is_symbol(",")):
                    break
                end += 1
            yield text[token.end : tokens[end].end]
