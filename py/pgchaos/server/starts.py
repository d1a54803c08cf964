"""The starts of private servers: they can be cancelled, and what is left of the servers can be listed."""

from __future__ import annotations

import threading
from pathlib import Path

from pgchaos.posix.postmaster import remove_server
from pgchaos.server.settings import ServerError
from pgchaos.server.supervisor_client import SupervisorClient


class Starts:
    """The private servers that a run starts.

    Attributes:
        cancelled: when it is set, a start ends soon with ServerError, and its server is removed.
        folders: of the servers.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.folders: list[Path] = []

    def check(self) -> None:
        """Raise ServerError if no more servers are to be started."""
        if self.cancelled.is_set():
            raise ServerError("no private server is started, because the run ends")

    def left(self) -> list[str]:
        """Return what could not be removed of servers that were closed, a line each."""
        return [
            f"left: private server in {folder}; the next run removes it" for folder in self.folders if folder.exists()
        ]


def remove(supervisor: SupervisorClient, folder: Path | None) -> None:
    """Wait until the supervisor has removed a server, or do it where it was killed."""
    clean = supervisor.close()
    # a supervisor that does not even end by SIGKILL may wait for a disk: removing the folder would wait for it too
    if folder is not None and supervisor.ended and (not clean or folder.exists()):
        remove_server(str(folder))
