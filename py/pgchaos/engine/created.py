"""What the sessions of a run created on a server that others use too: only this may be removed there.

The proof is what the server told such a session: the command tag of a statement that creates an object, and then, by a
query at once on the same connection, the oid of the object with that name. From then on the oid identifies the object,
so another one with the same name is not mistaken for it. A name in the file, or in SQL that a function runs, proves
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from psycopg import sql

from pgchaos.engine.answer import Answer
from pgchaos.engine.text_search import query_matches
from pgchaos.language.sql_tokens import SqlStatement, SqlToken, call_arguments, top_statements

Thing = tuple[str, str]
"""A kind and a name."""
Row = tuple[object, ...]
Ask = Callable[[str], Sequence[Row]]
"""Runs a query on the server; raises Refused."""
AskSession = Callable[[str], Awaitable[Sequence[Row]]]
"""Runs a query in the session itself."""

_WORDS = {
    "CREATE ROLE": ("create", ("role", "user", "group"), "role"),
    "CREATE DATABASE": ("create", ("database",), "database"),
    "CREATE TABLESPACE": ("create", ("tablespace",), "tablespace"),
    "PREPARE TRANSACTION": ("prepare", ("transaction",), "prepared transaction"),
}
"""By command tag: the first words of such a statement, and what it creates."""
_SLOT = re.compile(r"\bpg_(?:create|copy)_(?:physical|logical)_replication_slot\b", re.IGNORECASE)
_DROPS_SLOT = re.compile(r"drop.*slot", re.IGNORECASE | re.DOTALL)
"""Also matches function names that are composed at run time."""
_SLOTS = ("slot",)
_LASTS = re.compile(r"\bcreate\b.*\b(?:function|procedure|rule|view)\b|\bprepare\b", re.IGNORECASE | re.DOTALL)
"""Statements that define what runs later."""
_KEEP_NAMES = re.compile(
    r"(CREATE (?!EXTENSION)|GRANT\b|REVOKE\b|COMMENT\b|SET\b|BEGIN\b|START\b|COMMIT$|PREPARE TRANSACTION\b)"
)
"""Command tags of statements that neither drop nor rename objects, nor call functions that could."""
_SLOT_MADE = {
    "pg_create_physical_replication_slot": (0, 2),
    "pg_create_logical_replication_slot": (0, 2),
    "pg_copy_physical_replication_slot": (1, 2),
    "pg_copy_logical_replication_slot": (1, 2),
}
"""Functions that create a slot: the positions of the arguments with its name and with `temporary`."""
_ONE_ROW = "SELECT 1"

_FIND = {
    "role": "SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {}::pg_catalog.name",
    "database": "SELECT oid FROM pg_catalog.pg_database WHERE datname = {}::pg_catalog.name",
    "tablespace": "SELECT oid FROM pg_catalog.pg_tablespace WHERE spcname = {}::pg_catalog.name",
    "prepared transaction": "SELECT transaction FROM pg_catalog.pg_prepared_xacts WHERE gid = {}",
    "slot": "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = {}::pg_catalog.name",
}
_STILL = {
    "slot": "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = {}::pg_catalog.name",
    "prepared transaction": "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE transaction::text = {}"
    " AND database = pg_catalog.current_database()",
    "database": "SELECT datname FROM pg_catalog.pg_database WHERE oid = {}::pg_catalog.oid",
    "tablespace": "SELECT spcname FROM pg_catalog.pg_tablespace WHERE oid = {}::pg_catalog.oid",
    "role": "SELECT rolname FROM pg_catalog.pg_roles WHERE oid = {}::pg_catalog.oid",
}
"""In the order of removal: a role may own the others."""


KINDS = tuple(_STILL)
"""All kinds, in that order."""


class Refused(Exception):
    """The server refused a query; the message is the server's."""


class Created:
    """What the sessions of one run created."""

    def __init__(self) -> None:
        self._known: set[Thing] = set()
        self._slots_uncertain = False

    @property
    def empty(self) -> bool:
        """Whether nothing was created that may have to be removed."""
        return not self._known

    async def add(self, query: str, tags: Sequence[str], ask: AskSession) -> None:
        """Record what a successful query of a session created."""
        for kind, name in creations(query, tags):
            if kind == "slot" and self._slots_uncertain:
                continue
            try:
                found = await ask(_with(_FIND[kind], name))
            except Refused:
                continue  # the oid is unknown, so there is no proof
            self._known.update((kind, str(identity)) for (identity,) in found)

    def note_dropped(self, query: str) -> None:
        """Forget what a query may have dropped, even if it failed: a rollback does not restore a slot.

        A slot has no oid, so one that another client creates anew could be mistaken for it. A function that drops slots
        may be called at any time later.
        """
        if not query_matches(query, _DROPS_SLOT, _SLOTS):
            return
        self._known = {(kind, identity) for kind, identity in self._known if kind != "slot"}
        self._slots_uncertain = self._slots_uncertain or _LASTS.search(query) is not None

    def still_there(self, ask: Ask, kinds: Sequence[str]) -> list[Thing]:
        """List what of it still exists, under its current name."""
        known = sorted(self._known)
        wanted = [(kind, identity) for kind in _STILL for of, identity in known if of == kind and kind in kinds]
        return [(kind, str(name)) for kind, identity in wanted for (name,) in ask(_with(_STILL[kind], identity))]


async def note_created(created: Created, query: str, answer: Answer, ask: AskSession) -> None:
    """Record an answer without an error."""
    created.note_dropped(query)
    if answer.error is None and not answer.interrupted:
        await created.add(query, [result.tag for result in answer.results], ask)


def _with(query: str, value: str) -> str:
    return query.replace("{}", sql.Literal(value).as_string(None))


def creations(query: str, tags: Sequence[str]) -> list[Thing]:
    """List what statements created, by their command tags."""
    if not (any(tag in _WORDS for tag in tags) or query_matches(query, _SLOT, _SLOTS)):
        return []
    statements = top_statements(query)
    if len(statements) != len(tags):
        return []
    found = []
    # the object with the name at the end is the created one only if no later statement could drop or rename it
    for statement, tag in zip(reversed(statements), reversed(tags), strict=True):
        thing = _creation(query, statement, tag)
        if thing is not None:
            found.append(thing)
        elif not _KEEP_NAMES.match(tag):
            break
    return found[::-1]


def _creation(query: str, statement: SqlStatement, tag: str) -> Thing | None:
    if tag == _ONE_ROW:
        name = _slot(query, list(statement.tokens))
        return ("slot", name) if name else None
    if tag not in _WORDS or len(statement.tokens) < 3:
        return None
    verb, nouns, kind = _WORDS[tag]
    first, second, third = statement.tokens[:3]
    if not (first.is_word(verb) and second.is_word(*nouns)):
        return None
    name = _string(query, third) if kind == "prepared transaction" else _identifier(query, third)
    return (kind, name) if name else None


def _identifier(query: str, token: SqlToken) -> str:
    """Read a name as the server does, which folds ASCII letters only; '' if in doubt."""
    if token.kind == "name":
        return token.text if query[token.start] == '"' else ""  # not U&"…"
    raw = query[token.start : token.start + len(token.text)]
    return token.text if token.kind == "word" and raw.isascii() else ""


def _string(query: str, token: SqlToken) -> str:
    """Read a string without escapes, whatever the settings of the session; '' if in doubt."""
    is_plain = token.kind == "string" and query[token.start] in "'$" and "\\" not in token.text
    return token.text if is_plain else ""


def _slot(query: str, tokens: list[SqlToken]) -> str:
    """Return the slot that a SELECT has created: only a single call with constants proves that it was called.

    It accepts `SELECT f('slot', …)` and `SELECT a, b FROM f('slot', …)`, each with or without an alias.
    """
    if not tokens or not tokens[0].is_word("select"):
        return ""
    start = next((at for at, token in enumerate(tokens) if token.text in _SLOT_MADE and token.kind == "word"), 0)
    end = next((at for at in range(start, len(tokens)) if tokens[at].is_symbol(")")), 0)
    before, call, behind = tokens[1:start], tokens[start : end + 1], tokens[end + 1 :]
    if len(before) > 1 and before[-1].is_symbol(".") and before[-2].is_word("pg_catalog"):
        before = before[:-2]
    if not start or not end or not (_is_alias(behind) and _is_plain_list(before)):
        return ""
    where, temporary = _SLOT_MADE[call[0].text]
    arguments = _constants(call)
    if len(arguments) <= where or (len(arguments) > temporary and not arguments[temporary][0].is_word("false")):
        return ""
    argument = arguments[where]
    return _string(query, argument[0]) if len(argument) == 1 else ""


def _is_alias(behind: list[SqlToken]) -> bool:
    if behind and behind[0].is_word("as"):
        behind = behind[1:]
    reserved = behind and behind[0].is_word(
        "where", "limit", "offset", "group", "having", "order", "union", "for", "from"
    )
    return not reserved and (not behind or (len(behind) == 1 and behind[0].is_identifier))


def _is_plain_list(before: list[SqlToken]) -> bool:
    """Whether it is empty, or columns and constants before FROM."""
    if not before:
        return True
    return before[-1].is_word("from") and all(
        token.kind in ("name", "string", "number") or token.is_symbol("*", ",", ".") or token.kind == "word"
        for token in before[:-1]
    )


def _constants(call: list[SqlToken]) -> list[list[SqlToken]]:
    """Return the arguments of a call; none unless all are constants."""
    found = call_arguments(call, 0)
    tokens = (token for argument in found for token in argument)
    are_constants = all(token.kind in ("string", "number") or token.is_word("true", "false") for token in tokens)
    return found if are_constants and all(found) else []
