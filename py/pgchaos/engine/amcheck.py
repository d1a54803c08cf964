"""Checks what a scenario wrote for corruption: runs PostgreSQL's amcheck on its tables and B-tree indexes.

All of it, CREATE EXTENSION too, is one transaction that is rolled back: nothing is left in a user's database.

Sources:
    https://www.postgresql.org/docs/current/amcheck.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from psycopg import sql

from pgchaos.engine.answer import Answer
from pgchaos.engine.connection import Connection
from pgchaos.language.model import Scenario
from pgchaos.results import Failure
from pgchaos.server import Sandbox

_TAGS = frozenset({"corruption", "recovery"})
_CORRUPTED = ("XX001", "XX002")
"""data_corrupted and index_corrupted: other errors do not mean that the relation is corrupt."""
_PATIENCE = 60.0
"""Seconds for one relation."""
_SHOWN = 5
"""Findings of one relation that are shown."""
_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = '1s';
SET LOCAL client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA chaos;
SELECT pg_catalog.quote_ident(nspname), (SELECT max(pronargs) FROM pg_catalog.pg_proc WHERE proname = 'bt_index_check')
  FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace WHERE extname = 'amcheck';
"""
_RELATIONS = """
SELECT c.oid, c.oid::pg_catalog.regclass, c.relkind
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_am a ON a.oid = c.relam
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
 WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'chaos')
   AND (c.relkind IN ('r', 'm') AND a.amname = 'heap'
        OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)
   AND ({every} OR n.nspname = {schema} OR coalesce(t.relname, c.relname) = ANY ({names}))
 ORDER BY c.relkind DESC, 2
"""
"""`every`: all relations are the scenario's; otherwise those in its schema, and those whose name is in its text."""


@dataclass(frozen=True, slots=True)
class _Relation:
    oid: str
    name: str
    is_index: bool


def corruptions(
    connection: Connection, scenario: Scenario, sandbox: Sandbox, *, asked: bool
) -> tuple[list[Failure], list[str]]:
    """Look for corruption if a scenario is tagged `corruption` or `recovery`, or if the user asked for it.

    Returns:
        Failures, and what could not be examined.
    """
    if not asked and _TAGS.isdisjoint(scenario.tags):
        return [], []
    query = f"{_BEGIN}SAVEPOINT pgchaos; {_relations(scenario, sandbox)}"
    first = connection.ask(query, deadline=connection.within(_PATIENCE))
    try:
        if first.error is not None:
            text = f"amcheck could not be used: {_error_text(first)}"
            if first.error.sqlstate in _CORRUPTED:
                return [Failure("amcheck", (), text)], []
            return ([Failure("error", ("amcheck",), text)], []) if asked else ([], [f"{scenario.shown}:1: {text}"])
        *_, extension, _, found = first.results
        schema, arguments = (str(cell) for cell in next(extension.rows()))
        relations = [_Relation(str(oid), str(name), kind == "i") for oid, name, kind in found.rows()]
        failures, notes = _check_relations(connection, relations, schema, int(arguments))
        return failures, [f"{scenario.shown}:1: {note}" for note in notes]
    finally:
        connection.ask("ROLLBACK", deadline=connection.within(_PATIENCE))


def _relations(scenario: Scenario, sandbox: Sandbox) -> str:
    """Write the query for the scenario's tables and their indexes.

    In a database of its own these are all. In a user's database they are those in the scenario's schema, and those
    whose name is a word of its file; what it wrote through functions of the user is unknown.
    """
    words = sorted(set(re.findall(r"\w+", scenario.source.lower())))
    query = sql.SQL(_RELATIONS).format(
        every=sql.Literal(not (sandbox.in_place or sandbox.schema)),
        schema=sql.Literal(sandbox.schema or "chaos_sandbox"),
        names=sql.Literal(words if sandbox.in_place else []),
    )
    return query.as_string(None)


def _check_relations(
    connection: Connection, relations: list[_Relation], schema: str, arguments: int
) -> tuple[list[Failure], list[str]]:
    failures: list[Failure] = []
    notes: list[str] = []
    for relation in relations:
        # the query before may have failed
        query = f"ROLLBACK TO pgchaos; {_query(relation, schema, arguments)}"
        answer = connection.ask(query, deadline=connection.within(_PATIENCE))
        found = [str(row[0]) for result in answer.results for row in result.rows() if row[0] is not None]
        what = f"{'index' if relation.is_index else 'table'} {relation.name}"
        if answer.error is not None and answer.error.sqlstate in _CORRUPTED:
            found = [_error_text(answer)]
        elif answer.error is not None:
            notes.append(f"amcheck could not check {what}: {_error_text(answer)}")
            continue
        if found:
            failures.append(Failure("amcheck", (), f"amcheck: {what} is corrupt", None, tuple(_few(found))))
    return failures, notes


def _query(relation: _Relation, schema: str, arguments: int) -> str:
    """Write the check; of an index with heapallindexed, and from 17 on with checkunique."""
    if relation.is_index:
        more = ", true" * (arguments - 1)
        return f"SELECT nullif({schema}.bt_index_check({relation.oid}{more})::text, '')"
    return (
        "SELECT pg_catalog.format('block %s, line pointer %s: %s', blkno, offnum, msg)"
        f" FROM {schema}.verify_heapam({relation.oid}, check_toast => true)"
    )


def _few(found: list[str]) -> list[str]:
    more = len(found) - _SHOWN
    return found if more <= 0 else [*found[:_SHOWN], f"… and {more} more"]


def _error_text(answer: Answer) -> str:
    error = answer.error
    return "" if error is None else f"{error.message} ({error.sqlstate})"
