"""Which server a run shall use, as the user said it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SILENT = "the server does not answer: its processes may be stopped"


class Conninfo(str):
    """A connection string; its repr, which tracebacks and `pytest -l` show, shows nothing of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Conninfo('********')" if self else "Conninfo('')"


class ServerError(Exception):
    """No server, or one that cannot be used: the message says what was tried and what to do."""


class NoDisk(ServerError):
    """No small file system for a disk that shall be filled: only root can mount one, and not everywhere."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Which server to use.

    Args:
        dsn: a connection string of an existing server ('' too: libpq's environment), or None.
        pg_bindir: the folder of a private server's binaries, or None for the embedded one.
        in_place: work in the named database instead of databases of our own.
        allow_destructive: names of databases whose server may be harmed as a whole.
        pgtap: a file or folder to load pgTAP from, or None to look in the usual places.
        clones: databases made ahead of use.
    """

    dsn: str | None = field(default=None, repr=False)
    pg_bindir: Path | None = None
    in_place: bool = False
    allow_destructive: tuple[str, ...] = ()
    pgtap: Path | None = None
    clones: int = 2
