"""PostgreSQL servers and the databases that a run creates on them.

What needs psycopg is imported on first use, so that settings and errors are imported fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgchaos.server.settings import ServerError, ServerSettings

if TYPE_CHECKING:
    from pgchaos.server.private import PrivateServer, start_private
    from pgchaos.server.sandbox import Sandbox
    from pgchaos.server.server import Server, open_server

__all__ = ["PrivateServer", "Sandbox", "Server", "ServerError", "ServerSettings", "open_server", "start_private"]

_MODULES = {
    "PrivateServer": "private",
    "start_private": "private",
    "Sandbox": "sandbox",
    "Server": "server",
    "open_server": "server",
}


def __getattr__(name: str) -> object:
    """Import a name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
