"""Finds waits of the toolkit that take the snapshot of their transaction.

At repeatable read and serializable, the first query of a block takes the snapshot for the whole block. If that query is
a wait, the block sees the rows as they were before the wait, which is rarely meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgchaos.language.header_model import Matrix, combinations
from pgchaos.language.problems import SNAPSHOT_WAIT, Place, Problem
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import variable_names
from pgchaos.language.sql_tokens import SqlStatement, SqlToken, function_calls, top_statements
from pgchaos.language.substitution import TooLong, render

_DIRECTIVES = {
    "barrier": "barrier NAME",
    "wait_for": "wait for NAME",
    "wait_blocked": "wait blocked SESSION",
    "delay": "delay 5ms",
    "jitter": "jitter 5ms",
}
_WAITS = _DIRECTIVES.keys() | {"eventually", "terminate"}
# statements that take no snapshot, or use that of their cursor (PlannedStmtRequiresSnapshot in PostgreSQL's pquery.c)
_TAKE_NONE = frozenset(
    {"lock", "set", "reset", "show", "savepoint", "release", "listen", "unlisten", "notify", "checkpoint", "fetch"}
)
_ENDS = frozenset({"commit", "end", "rollback", "abort"})


@dataclass(slots=True)
class _Transaction:
    """The state of a connection's transaction, followed statement by statement."""

    default: str = ""  # the level of the next blocks, '' if it was not set
    level: str = ""  # of the open block, '' for a level at which each statement has its own snapshot
    awaits_snapshot: bool = False  # a block is open that has no snapshot yet

    def read(self, statement: SqlStatement) -> SqlToken | None:
        """Follow a statement; return the wait of the toolkit in it that takes the snapshot of a block, or None."""
        words = [token.text.lower() for token in statement.tokens]
        verb = words[0]
        if verb == "begin" or words[:2] == ["start", "transaction"]:
            self.level, self.awaits_snapshot = _level(words, self.default), True
        elif verb in _ENDS and not {"to", "prepared"} & set(words[1:3]):
            self.awaits_snapshot = words[-2:] == ["and", "chain"]
        elif words[:2] == ["prepare", "transaction"]:
            self.awaits_snapshot = False
        elif verb == "set":
            self._set(words)
        elif words in (["reset", "default_transaction_isolation"], ["reset", "all"], ["discard", "all"]):
            self.default = ""
        elif verb not in _TAKE_NONE | _ENDS and self.awaits_snapshot:
            self.awaits_snapshot = False
            return _wait(statement.tokens) if self.level else None
        return None

    def _set(self, words: list[str]) -> None:
        setting = [word for word in words[1:4] if word not in ("session", "local")][:1]
        if setting in (["transaction"], ["transaction_isolation"]):
            self.level = _level(words, self.level)
        elif "local" not in words[1:2] and setting in (["default_transaction_isolation"], ["characteristics"]):
            self.default = _level(words, "")


def snapshot_notes(bodies: Iterable[SectionBuilder], matrix: Mapping[str, Matrix]) -> tuple[Problem, ...]:
    """Return notes on waits of the toolkit that are the first query of a block with one snapshot, in order of place."""
    return tuple(sorted({note for body in bodies if _may_wait(body) for note in _notes(body, matrix)}))


def _may_wait(body: SectionBuilder) -> bool:
    # a fast test, without tokens, which excludes most sections
    texts = (text for sql in body.sources if "chaos" in (text := sql.text.lower()))
    return any(wait in text for text in texts for wait in _WAITS)


def _notes(body: SectionBuilder, matrix: Mapping[str, Matrix]) -> Iterator[Problem]:
    names = {name for sql in body.sources for name in variable_names(sql.parts)}
    for variables in combinations([matrix[name] for name in sorted(names & matrix.keys())]):
        transaction = _Transaction()
        for sql in body.sources:
            try:
                text = render(sql.parts, variables)
            except TooLong:  # the run reports it
                continue
            for statement in top_statements(text):
                wait = transaction.read(statement)
                if wait is not None:
                    place = Place(sql.place.path, sql.place.line + wait.line)
                    yield Problem(place, _text(wait.text, transaction.level), rule=SNAPSHOT_WAIT)


def _level(words: list[str], otherwise: str) -> str:
    """Return the level that a statement names, '' for one at which each statement has its own snapshot."""
    text = " ".join(words)
    for level in ("repeatable read", "serializable"):
        if text.endswith(level) or f"isolation level {level}" in text:
            return level
    return "" if " read committed" in text or " read uncommitted" in text else otherwise


def _wait(tokens: Sequence[SqlToken]) -> SqlToken | None:
    calls = (call for call in function_calls(tokens) if call.schema == "chaos" and call.name in _WAITS)
    return next((tokens[call.at] for call in calls), None)


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
