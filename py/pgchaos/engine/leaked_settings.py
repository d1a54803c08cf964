"""Settings of the whole server that a scenario left behind: by ALTER SYSTEM, and by ALTER ROLE of remaining roles."""

from __future__ import annotations

import re
import time
from collections.abc import Collection

from psycopg import sql

from pgchaos.engine.connection import Connection
from pgchaos.engine.created import Thing
from pgchaos.engine.leaks import Leak, rows
from pgchaos.engine.text_search import mentions
from pgchaos.language.model import Scenario

_ALTERS = re.compile(r"\balter\s+(?:system|role|user)\b", re.IGNORECASE)
_OF_ROLES = """
    SELECT 'ALTER ROLE ' || CASE WHEN setrole = 0 THEN 'ALL'
                                 WHEN pg_get_userbyid(setrole) = CURRENT_USER THEN 'CURRENT_USER'
                                 ELSE quote_ident(pg_get_userbyid(setrole)) END,
           pg_catalog.unnest(setconfig)
      FROM pg_catalog.pg_db_role_setting WHERE setdatabase = 0
"""
_IN_FORCE = """
    SELECT 'ALTER SYSTEM', name || '=' || setting FROM pg_catalog.pg_settings s
     WHERE sourcefile ~ 'postgresql\\.auto\\.conf$'
"""
_IN_FILE = """
    SELECT 'ALTER SYSTEM', name || '=' || setting FROM pg_catalog.pg_file_settings
     WHERE sourcefile ~ 'postgresql\\.auto\\.conf$' AND name IS NOT NULL
"""
_RESET_ONLY_IN_FILE = "AND NOT EXISTS (SELECT FROM pg_catalog.pg_file_settings f WHERE lower(f.name) = lower(s.name))"
_RELOADED_WITHIN = 5.0


def may_set(scenario: Scenario) -> bool:
    """Whether a scenario that shares its server may leave such a setting."""
    return scenario.sandbox != "server" and mentions(scenario, _ALTERS)


def read_settings(connection: Connection) -> list[Thing]:
    """Return each setting, and what sets it.

    Superusers see those of ALTER SYSTEM that are in force or in its file, which the server reads only at a reload.
    Other roles see those in force, if they are members of pg_read_all_settings.
    """
    of_system = [_IN_FORCE]
    if connection.is_superuser:
        of_system = [_IN_FORCE + _RESET_ONLY_IN_FILE, _IN_FILE]
    return rows(connection, " UNION ALL ".join([_OF_ROLES, *of_system]))


def left_settings(connection: Connection, before: Collection[Thing], scenario: Scenario, *, ours: bool) -> list[Leak]:
    """Find the settings that are new; on a server of ours, reset them."""
    found = [thing for thing in read_settings(connection) if thing not in before and _may_be_of(scenario, *thing)]
    leaks = []
    for what, setting in found:
        name = setting.partition("=")[0]
        undo = f"{what} RESET {sql.Identifier(name).as_string(None)}"
        left = _reset(connection, undo) if ours else f"it was left; to remove it: {undo}"
        leaks.append(Leak("object", f"setting {setting} ({what})", left, name))
    if ours and found:
        _await_reload(connection, {setting.partition("=")[0] for what, setting in found if what == "ALTER SYSTEM"})
    return leaks


def _may_be_of(scenario: Scenario, what: str, setting: str) -> bool:
    words = [setting.partition("=")[0]]
    if what not in ("ALTER SYSTEM", "ALTER ROLE ALL", "ALTER ROLE CURRENT_USER"):
        words.append(what.removeprefix("ALTER ROLE ").strip('"'))
    return all(mentions(scenario, re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)) for word in words)


def _reset(connection: Connection, undo: str) -> str:
    for statement in (undo, "SELECT pg_catalog.pg_reload_conf()"):  # ALTER SYSTEM cannot run in a transaction block
        answer = connection.ask(statement, deadline=time.monotonic() + _RELOADED_WITHIN)
        if answer.error is not None:
            return f"it could not be removed: {answer.error.message}; to remove it: {undo}"
    return ""


def _await_reload(connection: Connection, names: Collection[str]) -> None:
    """Wait until the server has reloaded its files: earlier sessions begin with the leaked setting."""
    until = time.monotonic() + _RELOADED_WITHIN
    while any(one.partition("=")[0] in names for _, one in rows(connection, _IN_FORCE)) and time.monotonic() < until:
        time.sleep(0.01)  # polled: the server does not report a reload
