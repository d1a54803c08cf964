"""A plugin of pytest, for tests: whatever a thread other than the main one is the first to import fails the run."""

from __future__ import annotations

import builtins
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

FOUND: list[str] = []
_import = builtins.__import__


def _tell(what: str) -> None:
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        stack = "".join(traceback.format_stack(limit=30)[:-2])
        FOUND.append(f"{what} imported in {thread.name}:\n{stack}")


class _First:
    """Comes to be asked for each module that is not in sys.modules yet."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        del path, target
        _tell(name)

    # importlib.metadata asks each finder
    def find_distributions(self, context: object = None) -> list[Any]:
        del context
        return []


def _watched(name: str, *args: Any, **kwargs: Any) -> ModuleType:  # noqa: ANN401 as the built-in one
    module = sys.modules.get(name)
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    if getattr(spec, "_initializing", False):
        _tell(f"{name}, which another thread is importing,")
    return _import(name, *args, **kwargs)


sys.meta_path.insert(0, _First())
builtins.__import__ = _watched


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for text in FOUND:
        terminalreporter.write_line(text)
    terminalreporter.write_line(f"imports in threads: {len(FOUND)}")
    unasked = [name for name in sys.modules if name.startswith(("jinja2", "pgchaos.report.export"))]
    terminalreporter.write_line(f"loaded for files that nobody asked for: {len(unasked)}")
