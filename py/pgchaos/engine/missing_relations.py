"""A hint where a scenario seems to need tables of the user's database, and ran in a new one. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from pgchaos.engine.text_search import mentions
from pgchaos.language.model import Scenario
from pgchaos.results import RunResult
from pgchaos.server import Sandbox

_NAME = re.compile(r'(?:(?:"[^"]+"|[a-z_][\w$]*)\s*\.\s*)?("[^"]+"|[a-z_][\w$]*)', re.IGNORECASE)
_CREATES = r"""
    (?: \bcreate \s+ (?:\w+\s+){{0,4}} (?:table|view|sequence) \s* (?:\bif\s+not\s+exists\s+)?
      | \brename \s+ to \s+ | (?<!insert\ )(?<!merge\ )\binto \s+ (?:(?:table|temp|unlogged)\s+)* )
    (?: (?:[\w$"]+\s*\.\s*)? "?{0}(?![\w$]) | [^\s;]*[:%'] )
"""
"""Statements that create a table of a name, or of one in a variable, a format or a string that is put together."""
_HINT = (
    "HINT: the file creates no {0}, and it ran in a new database. If {0} is a table of your database, run the scenario"
    " there: --chaos-in-place, with the database in PGDATABASE or --chaos-dsn (what it changes there stays). Otherwise"
    " create it in setup"
)


def relation_at(statement: str, position: int, message: str) -> str:
    """Return the last part of the name at a position of a statement, as written; '' if none of a user's table is there.

    Args:
        statement: as written.
        position: of its character, from 1, in the statement as sent, which variables may have moved; 0 if unknown.
        message: of the server, which has the name of the table in any language.
    """
    found = _NAME.match(statement, position - 1) if position else None
    name = re.escape(found[1].strip('"')) if found else ""
    is_it = re.search(rf"(?<![\w$]){name}(?![\w$])", message, re.IGNORECASE) is not None
    return found[1] if found and is_it and not found[1].startswith("pg_") else ""


def add_hints(result: RunResult, scenario: Scenario, sandbox: Sandbox) -> RunResult:
    """Add to each failure by a missing table that the file does not create how to run it where the table may be."""
    needs_any = any(failure.relation for failure in result.failures)
    # an extension may have another version
    if not needs_any or sandbox.in_place or scenario.sandbox == "server" or scenario.extensions:
        return result
    failures = [
        replace(one, details=(*one.details, _HINT.format(one.relation)))
        if one.relation and not _creates(scenario, one.relation)
        else one
        for one in result.failures
    ]
    return replace(result, failures=failures)


def _creates(scenario: Scenario, name: str) -> bool:
    made = _CREATES.format(re.escape(name.strip('"')))
    return mentions(scenario, re.compile(made, re.IGNORECASE | re.VERBOSE))
