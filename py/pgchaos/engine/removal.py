"""Removes objects of a whole server, or returns why they stay and how to remove them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from psycopg import sql

from pgchaos.engine.created import Ask, Refused, Thing
from pgchaos.server.in_place import SANDBOX_SCHEMA

if TYPE_CHECKING:
    from typing_extensions import LiteralString

UNPROVEN = "it was left, for nothing proves that this run created it"

_STATEMENTS: Mapping[str, tuple[LiteralString, ...]] = {
    "role": ("DROP OWNED BY {0} CASCADE", "DROP ROLE {0}"),
    "tablespace": ("DROP TABLESPACE {0}",),
    "database": ("DROP DATABASE {0}",),
    "slot": ("SELECT pg_catalog.pg_drop_replication_slot({1})",),
    "prepared transaction": ("ROLLBACK PREPARED {1}",),
}
# Objects in the run's schema are dropped with it, and privileges with the role. The rest belongs to the user.
_HOLDS = """
    SELECT pg_catalog.pg_describe_object(classid, objid, objsubid)
      FROM pg_catalog.pg_shdepend
     WHERE refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
       AND refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {1}) AND deptype <> 'a'
       AND dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       AND coalesce((pg_catalog.pg_identify_object(classid, objid, objsubid)).schema, '') <> {2}
       AND NOT (classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                AND objid = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {2}))
     LIMIT 1
"""


def how_to_remove(thing: Thing) -> str:
    """Write how a user can remove an object."""
    kind, name = thing
    return f"to remove it: {_with(_STATEMENTS[kind][-1], name)}"


def remove(ask: Ask, thing: Thing, *, in_place: bool = False) -> str:
    """Remove an object of this run.

    Args:
        ask: runs a query on the server.
        thing: its kind and name.
        in_place: in a user's database: do not drop objects outside the run's schema with a role.

    Returns:
        Why it stays and how to remove it; '' if it was removed.
    """
    kind, name = thing
    if in_place and kind == "role":
        held = _held_by(ask, name)
        if held:
            return f"it was left, for {held} depends on it; {how_to_remove(thing)}"
    problem = ""
    for statement in _STATEMENTS[kind]:
        # CASCADE would drop dependent objects, which may belong to others
        query = _with(statement, name)
        try:
            ask(query.removesuffix(" CASCADE") if in_place else query)
            problem = ""
        except Refused as refused:  # only the last statement decides
            problem = str(refused)
    return f"it could not be removed: {problem}; {how_to_remove(thing)}" if problem else ""


def _held_by(ask: Ask, role: str) -> str:
    try:
        return next((str(what) for (what,) in ask(_with(_HOLDS, role))), "")
    except Refused as refused:
        return f"something ({refused})"


def _with(statement: LiteralString, name: str) -> str:
    return (
        sql.SQL(statement).format(sql.Identifier(name), sql.Literal(name), sql.Literal(SANDBOX_SCHEMA)).as_string(None)
    )
