"""Where pgchaos keeps what it needs again: programs that were fetched, and prepared data directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PREPARED = "PGCHAOS_PREPARED"
"""The variable with the folder of prepared data directories; `off` for none."""


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Give the folder of fetched programs, and of what else is kept.

    For root it is not in /root: a server's account usually cannot read that, so the programs would be copied at each
    start.
    """
    named = environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():  # a relative one is to be ignored (XDG Base Directory Specification)
        return Path(named, "pgchaos")
    return Path("/var/cache/pgchaos") if os.geteuid() == 0 else Path.home() / ".cache" / "pgchaos"


def prepared_folder(environ: Mapping[str, str]) -> Path | None:
    """Give the folder of prepared data directories; None if the user wants none."""
    named = environ.get(PREPARED, "")
    if named == "off":
        return None
    return Path(named) if Path(named).is_absolute() else cache_folder(environ) / "prepared"
