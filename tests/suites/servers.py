"""Servers that the suites of others run on: programs beside which an extension can be put, and psql's environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from pgchaos.server.binaries import server_environment


def share_of(bindir: Path) -> Path:
    """Find the folder that holds a server's `extension`: beside its programs, or where Debian puts it."""
    places = (
        bindir.parent / "share",
        bindir.parent / "share/postgresql",
        Path("/usr/share/postgresql", *_version(bindir)),
    )
    return next(place for place in places if (place / "postgresql.conf.sample").exists())


def _version(bindir: Path) -> tuple[str, ...]:
    return (bindir.parent.name,) if bindir.parent.parent.name == "postgresql" else ()


def copy_of(bindir: Path, folder: Path) -> tuple[Path, Path]:
    """Copy a server's programs, which find what is theirs relative to themselves (make_relative_path in path.c)."""
    share = share_of(bindir)
    root = Path(os.path.commonpath((bindir, share)))
    target = folder / bindir.relative_to(root)
    shutil.copytree(bindir, target)
    (target.parent / "lib").symlink_to(bindir.parent / "lib")
    shutil.copytree(share, folder / share.relative_to(root), symlinks=True)
    return target, folder / share.relative_to(root) / "extension"


def environ(bindir: Path, conninfo: str) -> dict[str, str]:
    """Give the environment in which libpq's programs find a database."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    given = conninfo_to_dict(conninfo)
    return {**server_environment(bindir, os.environ), **{names[key]: str(given[key]) for key in names}}
