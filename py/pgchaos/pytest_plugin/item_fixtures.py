"""The fixtures of items. Which ones an item has costs pytest more than all the rest of the item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import pytest

# pytest's own type has no public name
FixtureInfo: TypeAlias = Any

# By the folder of the file, and the names of the autouse fixtures.
_KNOWN = pytest.StashKey[dict[tuple[pytest.Collector | None, tuple[str, ...]], FixtureInfo]]()


def shared_fixtures(file: pytest.Module) -> FixtureInfo | None:
    """Return what pytest found out about the fixtures of an item, for another item with the same ones.

    All items ask for the same fixtures by name. What else they have depends on the markers around them, on autouse
    fixtures, and on fixtures of conftest.py files and plugins that replace others of the same name. None where pytest
    must find them itself: markers are around the item, or this pytest works differently.
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
        info = known[autouse] = manager.getfixtureinfo(file, _asks, None)
    elif any(
        (manager.getfixturedefs(name, file) or None) != info.name2fixturedefs.get(name) for name in info.names_closure
    ):
        return None
    # a plugin may add to the names of one item
    return replace(info, names_closure=[*info.names_closure], name2fixturedefs={**info.name2fixturedefs})


def _asks(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:
    """Ask for the fixtures that every item asks for."""
