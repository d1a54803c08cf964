"""Waits of the toolkit that take the snapshot of their transaction.

At repeatable read and serializable the first query of a block takes the snapshot that all of the block sees. Where that
query is a wait, the block sees the rows as they were before it, which is hardly what was meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pgchaos.language.header_model import Matrix
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Variable
from pgchaos.language.sql_tokens import SqlStatement, SqlToken, top_statements
from pgchaos.language.substitution import TooLong, render

_DIRECTIVES = {
    "barrier": "barrier NAME",
    "wait_for": "wait for NAME",
    "wait_blocked": "wait blocked SESSION",
    "delay": "delay 5ms",
    "jitter": "jitter 5ms",
}
_WAITS = _DIRECTIVES.keys() | {"eventually", "terminate"}
_TAKE_NONE = frozenset(
    {"lock", "set", "reset", "show", "savepoint", "release", "listen", "unlisten", "notify", "checkpoint", "fetch"}
)
"""Statements that take no snapshot, or that of their cursor (PlannedStmtRequiresSnapshot in PostgreSQL's pquery.c)."""
_ENDS = frozenset({"commit", "end", "rollback", "abort"})


@dataclass(slots=True)
class _Connection:
    """What is known of a connection at one place of its text.

    Args:
        default: the level of its next blocks, '' where it was not set.
        level: of the open block, '' at a level without a lasting snapshot.
        fresh: a block is open that has no snapshot yet.
    """

    default: str = ""
    level: str = ""
    fresh: bool = False


def snapshot_notes(bodies: Iterable[SectionBuilder], matrix: Mapping[str, Matrix]) -> tuple[Problem, ...]:
    """Find waits of the toolkit that are the first query of a block with one lasting snapshot.

    Args:
        bodies: all sections, those of mutants too.
        matrix: by name; each section is looked at with each of the values that it uses.

    Returns:
        A note for each, in order of place.
    """
    return tuple(sorted({note for body in bodies if _may_hold_one(body) for note in _of_body(body, matrix)}))


def _may_hold_one(body: SectionBuilder) -> bool:
    """Tell most sections by a glance, for the rest of this is slow."""
    texts = (text for sql in body.sources if "chaos" in (text := sql.text.lower()))
    return any(wait in text for text in texts for wait in _WAITS)


def _of_body(body: SectionBuilder, matrix: Mapping[str, Matrix]) -> Iterator[Problem]:
    parts = [part for sql in body.sources for part in sql.parts if isinstance(part, Variable)]
    names = sorted({part.name for part in parts} & matrix.keys())
    for chosen in itertools.product(*(matrix[name].values for name in names)):
        connection = _Connection()
        variables = dict(zip(names, chosen, strict=True))
        for sql in body.sources:
            try:
                text = render(sql.parts, variables)
            except TooLong:  # the run will tell
                continue
            for parsed in top_statements(text):
                wait = _went(connection, parsed)
                if wait is not None:
                    line = sql.place.line + wait.line
                    yield Problem(Place(sql.place.path, line), _text(wait.text, connection.level))


def _went(connection: _Connection, parsed: SqlStatement) -> SqlToken | None:
    """Go one statement on; gives the wait of the toolkit that takes a snapshot by it."""
    words = [token.text.lower() for token in parsed.tokens]
    verb = words[0]
    if verb == "begin" or words[:2] == ["start", "transaction"]:
        connection.level, connection.fresh = _level(words, connection.default), True
    elif verb in _ENDS and not {"to", "prepared"} & set(words[1:3]):
        connection.fresh = words[-2:] == ["and", "chain"]
    elif words[:2] == ["prepare", "transaction"]:
        connection.fresh = False
    elif verb == "set":
        _set(connection, words)
    elif words in (["reset", "default_transaction_isolation"], ["reset", "all"], ["discard", "all"]):
        connection.default = ""
    elif verb not in _TAKE_NONE | _ENDS and connection.fresh:
        connection.fresh = False
        return _wait(parsed.tokens) if connection.level else None
    return None


def _set(connection: _Connection, words: list[str]) -> None:
    setting = [word for word in words[1:4] if word not in ("session", "local")][:1]
    if setting in (["transaction"], ["transaction_isolation"]):
        connection.level = _level(words, connection.level)
    elif "local" not in words[1:2] and setting in (["default_transaction_isolation"], ["characteristics"]):
        connection.default = _level(words, "")


def _level(words: list[str], otherwise: str) -> str:
    """Give the level that a statement names, '' for one at which each statement has its own snapshot."""
    said = " ".join(words)
    for level in ("repeatable read", "serializable"):
        if said.endswith(level) or f"isolation level {level}" in said:
            return level
    return "" if " read committed" in said or " read uncommitted" in said else otherwise


def _wait(tokens: tuple[SqlToken, ...]) -> SqlToken | None:
    for schema, dot, name, opening in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if (
            schema.is_identifier
            and schema.text == "chaos"
            and dot.is_symbol(".")
            and opening.is_symbol("(")
            and name.text in _WAITS
        ):
            return name
    return None


def _text(name: str, level: str) -> str:
    directive = _DIRECTIVES.get(name)
    instead = (
        f"the directive `-- chaos:{directive}` takes none"
        if directive
        else "call it before the block, or behind the query whose snapshot is meant"
    )
    return (
        f"chaos.{name}() is the first query of a block at {level}, so the block sees the rows as they were"
        f" before the wait: it takes the snapshot; {instead}"
    )
