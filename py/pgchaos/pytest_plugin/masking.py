"""Takes passwords out of pytest's own reports: a traceback with --showlocals shows what psycopg was called with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgchaos.safe_output import knows_secrets, without_secrets

if TYPE_CHECKING:
    import pytest

_DEPTH = 12
"""Objects within objects: a chain of exceptions has entries, these have locals, and these have lines."""


def mask(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Put stars in place of passwords in all that a report holds."""
    if knows_secrets():
        report.longrepr = _masked(report.longrepr, _DEPTH)  # type: ignore[assignment]  # it stays of its kind
        report.sections = [(without_secrets(name), without_secrets(text)) for name, text in report.sections]


def _masked(value: object, depth: int) -> object:
    if isinstance(value, str):
        return without_secrets(value)
    if depth == 0:
        return value
    if isinstance(value, tuple):
        items = [_masked(item, depth - 1) for item in value]
        fields = hasattr(value, "_fields")
        return type(value)(*items) if fields else tuple(items)  # type: ignore[arg-type]  # a named tuple
    if isinstance(value, list):
        return [_masked(item, depth - 1) for item in value]
    if type(value).__module__.partition(".")[0] == "_pytest":
        for name, inner in list(vars(value).items()) if hasattr(value, "__dict__") else []:
            object.__setattr__(value, name, _masked(inner, depth - 1))
    return value
