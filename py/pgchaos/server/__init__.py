"""PostgreSQL servers: found, started, watched, and the databases that a run makes on them. Knows no pytest.

What connects to a server is imported on first use, so that settings and errors cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgchaos.server.settings import ServerError, ServerSettings

if TYPE_CHECKING:
    from pgchaos.server.private import PrivateServer, start_private
    from pgchaos.server.sandbox import Sandbox
    from pgchaos.server.server import Server, open_server

__all__ = ["PrivateServer", "Sandbox", "Server", "ServerError", "ServerSettings", "open_server", "start_private"]

_HOMES = {
    "PrivateServer": "private",
    "start_private": "private",
    "Sandbox": "sandbox",
    "Server": "server",
    "open_server": "server",
}


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
