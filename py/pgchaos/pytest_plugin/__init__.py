"""The pytest plugin: options, collection, items, fixtures.

pytest rewrites the assertions in all modules of a plugin's distribution when they are imported. Ours do not need that,
and it doubles their import time. So a finder before pytest's finds them as Python itself does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _PlainFinder:
    """Finds the modules of pgchaos, without rewriting them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python does; None for other packages."""
        return PathFinder.find_spec(name, path, target) if name.startswith("pgchaos.") else None


def _find_before_pytest() -> None:
    rewriting = [type(finder).__module__ == "_pytest.assertion.rewrite" for finder in sys.meta_path]
    if any(rewriting):
        sys.meta_path.insert(rewriting.index(True), _PlainFinder())


_find_before_pytest()
