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
SETTINGS = """
    SELECT 'ALTER ROLE ' || CASE WHEN setrole = 0 THEN 'ALL'
                                 WHEN pg_get_userbyid(setrole) = CURRENT_USER THEN 'CURRENT_USER'
                                 ELSE quote_ident(pg_get_userbyid(setrole)) END,
           pg_catalog.unnest(setconfig)
      FROM pg_catalog.pg_db_role_setting WHERE setdatabase = 0
    UNION ALL
    SELECT 'ALTER SYSTEM', name || '=' || setting FROM pg_catalog.pg_settings
     WHERE sourcefile ~ 'postgresql\\.auto\\.conf$'
"""
"""Each setting, and what sets it. Only superusers and pg_read_all_settings see those of ALTER SYSTEM."""
_RELOADED_WITHIN = 5.0


def may_set(scenario: Scenario) -> bool:
    """Whether a scenario that shares its server may leave such a setting."""
    return scenario.sandbox != "server" and mentions(scenario, _ALTERS)


def left_settings(connection: Connection, before: Collection[Thing], scenario: Scenario, *, ours: bool) -> list[Leak]:
    """Find the settings that are new; on a server of ours, reset them."""
    found = [thing for thing in rows(connection, SETTINGS) if thing not in before and _may_be_of(scenario, *thing)]
    leaks = []
    for what, setting in found:
        name = setting.partition("=")[0]
        undo = f"{what} RESET {sql.Identifier(name).as_string(None)}"
        left = _reset(connection, undo) if ours else f"it was left; to remove it: {undo}"
        leaks.append(Leak("object", f"setting {setting} ({what})", left, name))
    if ours and found:
        _await_reload(connection, found)
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


def _await_reload(connection: Connection, found: Collection[Thing]) -> None:
    """Wait until the server has reloaded its files: earlier sessions begin with the leaked setting."""
    until = time.monotonic() + _RELOADED_WITHIN
    while time.monotonic() < until and any(thing in found for thing in rows(connection, SETTINGS)):
        time.sleep(0.01)  # polled: the server does not report a reload
