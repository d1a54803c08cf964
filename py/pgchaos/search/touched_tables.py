"""Finds the tables that a statement touches, from its text. What is not known to be harmless may touch anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.language.sql_tokens import NO_TOKEN, SqlStatement, SqlToken, last_part, token_at
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Footprint
from pgchaos.search.pure_functions import FUNCTIONS, KEYWORDS, READ_CLOCK, TOOLKIT_FUNCTIONS

TIME = "the time"  # touched by statements that read the clock, whose order may be visible afterwards

_QUERIES = frozenset({"select", "values", "table", "with"})
_CHANGES = frozenset({"insert", "update", "delete", "merge"})
_LOCKS = frozenset({"lock", "truncate"})
_SPECIAL_TIMES = frozenset({"now", "today", "tomorrow", "yesterday"})
# system columns that show more than their table; ctid shows only its own
_HIDDEN = frozenset({"xmin", "xmax", "cmin", "cmax", "tableoid"})
_BEFORE_A_TABLE = frozenset({"from", "join", "into", "update", "using", "table", "lock", "truncate", "only"})
_SKIPPED = frozenset({"only", "lateral", "table"})
_ENDS_FROM = frozenset(
    """where group having order limit offset fetch for window union intersect except set returning select values
    when""".split()  # noqa: SIM905  # read better so
)
_FROM_IS_NO_CLAUSE = frozenset({"extract", "substring", "overlay", "trim", "position"})


@dataclass(frozen=True, slots=True)
class Relation:
    """What reading or changing a table touches."""

    read: Footprint
    written: Footprint  # also by locking it


@dataclass(frozen=True, slots=True)
class KnownDatabase:
    """What is known of the database."""

    relations: Mapping[str, Relation] = field(default_factory=dict)  # by name, without schema; the same name is merged
    functions: Collection[str] = frozenset()  # names of functions that are not the server's own


def touched(statement: SqlStatement, known: KnownDatabase) -> Footprint:
    """Return the footprint of a statement other than BEGIN, COMMIT and the like.

    Args:
        statement: its tokens; remaining variables of psql stand for a value.
        known: what is known of the database.

    Returns:
        Its footprint. A table counts wherever its name occurs, even as the name of a column.
    """
    tokens = statement.tokens
    if statement.verb not in _QUERIES | _CHANGES | _LOCKS:
        return ANYTHING
    found = calls(tokens, known)
    if found.anything or not _resolved(tokens, known):
        return ANYTHING
    targets = set(changed_tables(tokens))
    locks = statement.verb in _LOCKS or locks_rows(tokens)
    for token in tokens:
        if token.is_identifier and token.text in known.relations:
            relation = known.relations[token.text]
            found |= relation.written if locks or token.text in targets else relation.read
    return found


def calls(tokens: Sequence[SqlToken], known: KnownDatabase) -> Footprint:
    """Return what the functions in a text touch: nothing, the time, or anything."""
    with_names = _with_queries(tokens)
    found = NOTHING
    for at, token in enumerate(tokens):
        before, following = token_at(tokens, at - 1), token_at(tokens, at + 1)
        if token.kind == "string":
            if token.text.strip().lower() in _SPECIAL_TIMES:
                found |= Footprint(writes=frozenset({TIME}))
        elif token.kind == "variable":
            if _cannot_be_value(before) or following.is_symbol("(", "."):
                return ANYTHING
        elif token.is_identifier:
            if token.text in known.functions or _is_hidden(tokens, at):
                return ANYTHING
            if token.kind == "word" and token.text in READ_CLOCK:
                found |= Footprint(writes=frozenset({TIME}))
            elif following.is_symbol("(") and not _is_known_before_parenthesis(tokens, at, with_names, known):
                return ANYTHING
    return found


def _cannot_be_value(before: SqlToken) -> bool:
    """Whether a variable follows a token after which no value can be."""
    return before is NO_TOKEN or before.is_symbol(".", ")") or before.is_word(*_BEFORE_A_TABLE, *_CHANGES, "with")


def _is_hidden(tokens: Sequence[SqlToken], at: int) -> bool:
    token = tokens[at]
    if token.text in _HIDDEN:
        return True
    if token.text == "chaos":
        called = token_at(tokens, at + 1).is_symbol(".") and token_at(tokens, at + 3).is_symbol("(")
        return not (called and token_at(tokens, at + 2).is_word(*TOOLKIT_FUNCTIONS))
    if token.text == "pg_catalog":
        return not token_at(tokens, at + 1).is_symbol(".")
    return token.text.startswith("pg_") or token.text == "information_schema"


def _is_known_before_parenthesis(
    tokens: Sequence[SqlToken], at: int, with_names: Collection[str], known: KnownDatabase
) -> bool:
    token, before = tokens[at], token_at(tokens, at - 1)
    if before.is_symbol("."):
        schema = token_at(tokens, at - 2)
        if schema.is_word("chaos"):
            return token.text in TOOLKIT_FUNCTIONS
        if not schema.is_word("pg_catalog"):
            return token.text in known.relations and _follows_into(tokens, at - 2)
    if (
        before.is_word("as")
        or (token.text in with_names and before.is_word("with", "recursive"))
        or before.is_symbol("::")
    ):
        # a list of columns, or a type
        return True
    if token.text in with_names and before.is_symbol(","):
        return True
    if token.text in known.relations and _follows_into(tokens, at):
        return True
    return token.kind == "word" and token.text in FUNCTIONS | KEYWORDS


def _follows_into(tokens: Sequence[SqlToken], at: int) -> bool:
    return token_at(tokens, at - 1).is_word("into")


def _with_queries(tokens: Sequence[SqlToken]) -> set[str]:
    """List the names that WITH defines: after WITH or a comma, before AS, or before a list of columns and AS."""
    if not any(token.is_word("with") for token in tokens):
        return set()
    found = set()
    for at, token in enumerate(tokens):
        before = token_at(tokens, at - 1)
        if token.is_identifier and (before.is_word("with", "recursive") or before.is_symbol(",")):
            end = at + 1
            if token_at(tokens, end).is_symbol("("):
                while end < len(tokens) and not tokens[end].is_symbol(")"):
                    end += 1
                end += 1
            following = token_at(tokens, end + 1)
            if token_at(tokens, end).is_word("as") and (
                following.is_symbol("(") or following.is_word("materialized", "not")
            ):
                found.add(token.text)
    return found


def locks_rows(tokens: Sequence[SqlToken]) -> bool:
    """Whether there is a FOR UPDATE or the like: then all tables count as locked."""
    for at, token in enumerate(tokens):
        if token.is_word("for") and token_at(tokens, at + 1).is_word("update", "share", "no", "key"):
            return True
    return False


def changed_tables(tokens: Sequence[SqlToken]) -> Iterator[str]:
    """List the tables that are changed: after INTO, UPDATE and DELETE FROM."""
    for at, token in enumerate(tokens):
        deletes = token.is_word("from") and token_at(tokens, at - 1).is_word("delete")
        if token.is_word("into", "update") or deletes:
            at += 1
            while token_at(tokens, at).is_word("only"):
                at += 1
            at = last_part(tokens, at)
            if token_at(tokens, at).is_identifier:
                yield token_at(tokens, at).text


def _resolved(tokens: Sequence[SqlToken], known: KnownDatabase) -> bool:
    """Whether every table is known; a table that a session creates is not."""
    with_names = _with_queries(tokens)
    return all(name in known.relations or name in with_names for name in named_tables(tokens))


def named_tables(tokens: Sequence[SqlToken]) -> Iterator[str]:
    """List the names where the grammar expects tables."""
    openers, listing, awaited = [""], [False], False
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.is_symbol("("):
            openers.append(token_at(tokens, at - 1).text)
            listing.append(False)
        elif token.is_symbol(")") and len(openers) > 1:
            openers.pop()
            listing.pop()
            awaited = False
        elif token.is_symbol(","):
            awaited = listing[-1]
        elif token.is_word(*_ENDS_FROM):
            listing[-1] = awaited = False
        elif token.is_word(*_BEFORE_A_TABLE) and _opens(tokens, at, openers[-1]):
            awaited = True
            listing[-1] = not token.is_word("into", "update")
        elif awaited and token.is_identifier and not token.is_word(*_SKIPPED):
            into = _follows_into(tokens, at)
            at = last_part(tokens, at)
            if into or not token_at(tokens, at + 1).is_symbol("("):
                yield token_at(tokens, at).text
            awaited = False
        elif awaited and token.kind == "variable":
            # a variable in place of a table: it counts as unknown
            yield token.text
        at += 1


def _opens(tokens: Sequence[SqlToken], at: int, opener: str) -> bool:
    token, before = tokens[at], token_at(tokens, at - 1)
    if token.is_word("from"):
        return opener not in _FROM_IS_NO_CLAUSE and not before.is_word("distinct")
    if token.is_word("update"):
        return not before.is_word("for", "do", "key", "then")
    if token.is_word("using"):
        return not token_at(tokens, at + 1).is_symbol("(")
    return not token.is_word("only")
