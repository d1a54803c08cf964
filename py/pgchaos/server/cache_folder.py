"""The cache folder: downloaded programs, and prepared data directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PREPARED = "PGCHAOS_PREPARED"
"""The variable with the folder of prepared data directories; `off` for none."""


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the cache folder.

    For root it is not in /root: a server's account usually cannot read that, so the programs would be copied at each
    start.
    """
    path = environ.get("XDG_CACHE_HOME", "")
    if Path(path).is_absolute():  # a relative path is ignored (XDG Base Directory Specification)
        return Path(path, "pgchaos")
    return Path("/var/cache/pgchaos") if os.geteuid() == 0 else Path.home() / ".cache" / "pgchaos"


def prepared_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder of prepared data directories; None if the user wants none."""
    path = environ.get(PREPARED, "")
    if path == "off":
        return None
    return Path(path) if Path(path).is_absolute() else cache_folder(environ) / "prepared"
