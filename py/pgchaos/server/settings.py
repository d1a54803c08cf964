"""Shared by this package: the user's options for the server, and the errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SILENT = "the server does not answer: its processes may be stopped"


class Conninfo(str):
    """A connection string that tracebacks and `pytest -l` do not show: its repr hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Conninfo('********')" if self else "Conninfo('')"


def nothing() -> None:
    """Do nothing: the default of optional callbacks."""


class ServerError(Exception):
    """There is no server, or it cannot be used; the message says what happened and what to do."""


class NoDisk(ServerError):
    """A small file system that can be filled cannot be mounted: that needs root, and not every system permits it."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The user's options for the server.

    Args:
        dsn: a connection string of an existing server ('': libpq's environment), or None.
        pg_bindir: the folder of a private server's programs, or None for the embedded ones.
        in_place: work in the named database instead of new databases.
        allow_destructive: names of databases whose whole server may be harmed.
        pgtap: a file or folder to load pgTAP from, or None to search for it.
        clones: the number of databases created ahead of use.
    """

    dsn: str | None = field(default=None, repr=False)
    pg_bindir: Path | None = None
    in_place: bool = False
    allow_destructive: tuple[str, ...] = ()
    pgtap: Path | None = None
    clones: int = 2
