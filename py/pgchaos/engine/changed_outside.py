"""Whether a run has changed anything outside its schema, in a database that other runs use too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgchaos.engine import leaks
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.text_search import mentions
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Send, Statement
from pgchaos.server import Sandbox

if TYPE_CHECKING:
    from pgchaos.server.outside_schemas import StateQuery

_HIDDEN = re.compile(
    r"\bexecute\b(?!\s+(?:function|procedure)\b)|\blanguage\s+'?(?!sql\b|plpgsql\b)\w|\b\w+_to_xml\w*|\bts_(?:stat|rewrite)\b"
    r"|\b(?:lives_ok|throws_\w+|performs_\w+|results_\w+|set_\w+|bag_\w+|is_empty|isnt_empty)\s*\(\s*(?!['$e])"
    r"|\b(?:alter|drop)\s+(?!(?:table|index|sequence|trigger|policy|rule|column|constraint|default|not)\b)"
    r"|\b(?:grant|revoke)\b.*\bon\s+(?:all\s+)?(?:function|procedure|routine|type|domain|language)|\bpg_catalog\b|^\s*:"
    r"|\bcomment\s+on\s+(?!(?:table|column|index|sequence|trigger|policy|constraint)\b)"
    r"|\b(?:insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?\"?pg_\w+|\bcopy\s+pg_\w+",
    re.IGNORECASE | re.MULTILINE,
)
"""Statements that may define something outside the schema without naming it: SQL composed at run time, and ALTER, DROP
and so on of a name that may belong to the server or to pgTAP. These have no tables; extensions may."""


def may_define(scenario: Scenario) -> bool:
    r"""Whether a scenario may change definitions outside its schema: by functions of an extension, by \gexec or so."""
    if scenario.extensions or mentions(scenario, _HIDDEN):
        return True
    return any(isinstance(one, Statement) and one.send is Send.GEXEC for one in scenario.statements())


def changed_outside(connection: Connection, scenario: Scenario, sandbox: Sandbox) -> tuple[str, ...]:
    """Name what has changed outside the schema of a run since its database was created."""
    outside = sandbox.outside
    if outside is None:
        return ()
    queries = [outside.data]
    if not sandbox.in_search and may_define(scenario):
        queries.append(outside.catalogs)
    return tuple(name for state_query in queries for name in _changed(connection, state_query))


def _changed(connection: Connection, state_query: StateQuery) -> list[str]:
    try:
        return state_query.changed(leaks.rows(connection, state_query.query))
    except ConnectionLost as refused:
        if refused.error.lost:
            raise
        return [f"what can no longer be read ({refused.error})"]


def unreadable_remarks(scenario: Scenario, names: tuple[str, ...]) -> list[str]:
    """Write the remark that a search in place does not check some tables and sequences; none without names."""
    if not names:
        return []
    why = "the role may not read them, or not all of their rows (row security)"
    return [f"{scenario.shown}: whether a run changes {_listed(names)} is not checked: {why}"]


def outside_remark(outside: tuple[str, ...]) -> str:
    """Write the remark that names what changed and its consequence."""
    return (
        f"outside the schema of a run, {_listed(outside)} changed, so that the next run would not begin as the first"
        " did: each run has a new database, which takes longer"
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def outside_failure(outside: tuple[str, ...]) -> str:
    """Write the failure of a search that cannot continue in a user's database."""
    return (
        f"the next run of this search would not begin as the first did: {_listed(outside)} changed, and in place"
        " nothing is put back: put it back in teardown (a sequence by setval), make it in setup, or run without"
        " --chaos-in-place"
    )
