"""Derives from the text of a statement whether its rows have an order, and which columns differ in each run. Pure.

The server reports the origin of a column that comes directly from a table (its table and number). A computed column is
known only from its expression in the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, takewhile

from pgchaos.language.sql_tokens import NO_TOKEN, SqlToken, depths, tokenize, top_statements

# functions that return a different value in each run, whatever the tables contain
_CALLS = re.compile(
    r"now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|random_normal|gen_random_uuid"
    r"|gen_random_bytes|uuidv4|uuidv7|uuid_generate_v1|uuid_generate_v1mc|uuid_generate_v4|nextval|currval|lastval"
    r"|setval|pg_backend_pid|pg_blocking_pids|txid_current|txid_current_if_assigned|txid_current_snapshot"
    r"|pg_current_xact_id|pg_current_xact_id_if_assigned|pg_current_snapshot|pg_export_snapshot|pg_current_wal_lsn"
    r"|pg_current_wal_insert_lsn|pg_postmaster_start_time|pg_conf_load_time|current_schemas|current_database"
)
# the same as words: the time, and system columns
_WORDS = re.compile(
    r"current_timestamp|localtimestamp|current_time|localtime|current_date|current_schema|current_catalog|xmin|xmax|cmin|cmax|ctid|tableoid"
)
# functions that return values of a column
_AGGREGATES = re.compile(r"min|max|sum|avg|array_agg|string_agg|json_agg|jsonb_agg|json_object_agg|jsonb_object_agg")
_QUERIES = frozenset({"select", "with", "values", "table", ""})
_ENDS_LIST = re.compile(r"from|where|group|having|window|union|intersect|except|order|limit|offset|fetch|for|into")


@dataclass(frozen=True, slots=True)
class ParsedStatement:
    """A statement as written."""

    ordered: bool  # it orders its rows, by ORDER BY outside of all parentheses
    # the expressions of its columns; None if their number is unknown, because of `*` or the like
    outputs: tuple[tuple[SqlToken, ...], ...] | None
    tokens: tuple[SqlToken, ...]  # of the whole statement

    def changes(self, column: int, width: int, drawn: Collection[str] = ()) -> bool:
        """Whether a computed column differs in each run; `width` is the number of columns of the result.

        `drawn` are the names of columns with values of a sequence.
        """
        known = self.outputs is not None and len(self.outputs) == width
        expression = self.outputs[column] if known and self.outputs is not None else self.tokens
        return changes(expression) or _aggregates(expression, drawn)


@lru_cache(maxsize=1024)
def parse_statements(text: str) -> tuple[ParsedStatement, ...]:
    """Parse the text of a query message: a statement, or a group of them."""
    return tuple(_parsed(statement.verb, statement.tokens) for statement in top_statements(text))


@lru_cache(maxsize=256)
def changes_by_itself(text: str) -> bool:
    """Whether an expression, such as the default of a column, has a different value in each run."""
    return changes(tokenize(text))


def changes(expression: Sequence[SqlToken]) -> bool:
    """Whether an expression has a different value in each run, whatever the tables contain."""
    for token, following in pairwise((*expression, NO_TOKEN)):
        if token.is_identifier and (_CALLS.fullmatch(token.text) and following.is_symbol("(")):
            return True
        if token.kind == "word" and _WORDS.fullmatch(token.text):
            return True
    return False


def _aggregates(expression: Sequence[SqlToken], drawn: Collection[str]) -> bool:
    for at, (token, following) in enumerate(pairwise((*expression, NO_TOKEN))):
        if token.is_identifier and _AGGREGATES.fullmatch(token.text) and following.is_symbol("("):
            inside = takewhile(lambda one: not one.is_symbol(")"), expression[at + 2 :])
            if any(one.is_identifier and one.text in drawn for one in inside):
                return True
    return False


def _parsed(verb: str, tokens: tuple[SqlToken, ...]) -> ParsedStatement:
    with_depth = list(zip(depths(tokens), tokens, strict=True))
    ordered = verb in _QUERIES and any(
        depth == 0 and token.is_word("order") and following.is_word("by")
        for (depth, token), (_, following) in pairwise([*with_depth, (0, NO_TOKEN)])
    )
    return ParsedStatement(ordered, _outputs(with_depth), tokens)


def _outputs(with_depth: Sequence[tuple[int, SqlToken]]) -> tuple[tuple[SqlToken, ...], ...] | None:
    """Split the list after RETURNING, or after the first SELECT outside of parentheses, into its expressions."""
    words = {at: token.text for at, (depth, token) in enumerate(with_depth) if depth == 0 and token.kind == "word"}
    start = max((at for at, word in words.items() if word == "returning"), default=-1)
    if start < 0:
        start = next((at for at, word in words.items() if word == "select"), -1)
    if start < 0:
        return None
    found: list[list[SqlToken]] = [[]]
    for at in range(start + 1, len(with_depth)):
        depth, token = with_depth[at]
        if _ENDS_LIST.fullmatch(words.get(at, "")) and not with_depth[at - 1][1].is_symbol("."):
            break
        if depth == 0 and token.is_symbol(","):
            found.append([])
        elif not (at == start + 1 and token.is_word("all", "distinct")):
            found[-1].append(token)
    if any(not one or one[-1].is_symbol("*") for one in found):
        return None
    return tuple(tuple(one) for one in found)
