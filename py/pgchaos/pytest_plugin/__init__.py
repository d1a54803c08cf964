"""The pytest plugin: options, collection, items, fixtures. Everything that knows pytest is here.

pytest rewrites the assertions in all modules of a plugin's distribution, as they are imported. Ours need it not, and it
takes as long as the rest of their import: so a finder before pytest's finds them as Python itself does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _PlainFinder:
    """Finds the modules of pgchaos."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python does; None for another package's."""
        return PathFinder.find_spec(name, path, target) if name.startswith("pgchaos.") else None


def _find_before_pytest() -> None:
    rewriting = [type(finder).__module__ == "_pytest.assertion.rewrite" for finder in sys.meta_path]
    if any(rewriting):
        sys.meta_path.insert(rewriting.index(True), _PlainFinder())


_find_before_pytest()
