"""Shares the fixtures of items: finding them takes pytest longer than everything else for an item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import pytest

# pytest's own type has no public name
FixtureInfo: TypeAlias = Any

# By the folder of the file, and the names of the autouse fixtures.
_KNOWN = pytest.StashKey[dict[tuple[pytest.Collector | None, tuple[str, ...]], FixtureInfo]]()


def shared_fixtures(file: pytest.Module) -> FixtureInfo | None:
    """Return pytest's fixture information of an earlier item, for another item with the same fixtures.

    All items request the same fixtures by name. What else they use depends on markers of their collectors, on autouse
    fixtures, and on conftest.py files and plugins that override fixtures. Returns None if pytest must find them itself:
    a collector has markers, or this version of pytest works differently.
    """
    manager: Any = getattr(file.session, "_fixturemanager", None)
    if not all(hasattr(manager, name) for name in ("_getautousenames", "getfixturedefs", "getfixtureinfo")):
        return None
    if next(file.iter_markers(), None) is not None:
        return None
    known = file.config.stash.setdefault(_KNOWN, {})
    autouse = (file.parent, tuple(manager._getautousenames(file)))
    info = known.get(autouse)
    if info is None:
        info = known[autouse] = manager.getfixtureinfo(file, _every_item, None)
    elif any(
        (manager.getfixturedefs(name, file) or None) != info.name2fixturedefs.get(name) for name in info.names_closure
    ):
        return None
    # copied, because a plugin may add names for one item
    return replace(info, names_closure=[*info.names_closure], name2fixturedefs={**info.name2fixturedefs})


def _every_item(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:
    """Request the fixtures of every item."""
