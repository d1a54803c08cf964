"""Connection strings whose sessions begin with settings of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

from psycopg.conninfo import conninfo_to_dict, make_conninfo

PATIENT: Mapping[str, str] = MappingProxyType(
    {"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0"}
)
"""For who waits long, whatever the role's or the database's time-outs are; by SET, those could end the SET itself."""


ADMINISTRATIVE: Mapping[str, str] = MappingProxyType(
    {
        **PATIENT,
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_read_only": "off",
        "default_transaction_isolation": "read committed",
        "search_path": '"$user", public',
    }
)
"""For who makes and drops databases, whatever the user wants sessions to begin with (PGOPTIONS)."""


def with_settings(conninfo: str, settings: Mapping[str, str], **parameters: str) -> str:
    """Put settings into a connection string, so that RESET ALL and DISCARD ALL keep them.

    Args:
        conninfo: libpq's; the settings that it has, or PGOPTIONS, stay, unless they are given another value.
        settings: of the server, by name.
        parameters: libpq's own, such as application_name.

    Returns:
        The connection string.
    """
    # the parameter takes the place of the variable, and does not add to it
    said = str(conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS") or "")
    options = [said, *(f"-c {name}={_escaped(value)}" for name, value in settings.items())]
    return make_conninfo(conninfo, options=" ".join(options).strip(), **parameters)


def _escaped(value: str) -> str:
    # the server splits `options` at white space, and takes a backslash as its escape
    return "".join("\\" + c if c.isspace() or c == "\\" else c for c in value)
