"""What a user is told of a run that failed. Plain text, for people who know SQL.

What writes it is imported on first use: in most runs of pytest there is nothing to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.report.permutation import searched
    from pgchaos.report.replay import MAKE, item_name, replay_line
    from pgchaos.report.text import failure_text, run_text

__all__ = ["MAKE", "failure_text", "item_name", "replay_line", "run_text", "searched"]

_HOMES = {
    "MAKE": "replay",
    "failure_text": "text",
    "item_name": "replay",
    "replay_line": "replay",
    "run_text": "text",
    "searched": "permutation",
}


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
