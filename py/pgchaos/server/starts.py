"""The starts and ends of private servers: starts can be cancelled, ends have one deadline, what is left is listed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from pgchaos.posix.postmaster import remove_server
from pgchaos.server.settings import ServerError
from pgchaos.server.supervisor_client import END_LIMIT, SupervisorClient

_LEAST = 3.0  # seconds that a supervisor always gets: it may not be the one that does not answer


class Starts:
    """The private servers that a run starts.

    Attributes:
        cancelled: when it is set, a start ends soon with ServerError, and its server is removed.
        folders: of the servers.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.folders: list[Path] = []
        self._deadline = 0.0  # for the supervisors that are closed when the run ends; 0: none was

    def check(self) -> None:
        """Raise ServerError if no more servers are to be started."""
        if self.cancelled.is_set():
            raise ServerError("no private server is started, because the run ends")

    def left(self) -> list[str]:
        """Return what could not be removed of servers that were closed, a line each."""
        return [
            f"left: private server in {folder}; the next run removes it" for folder in self.folders if folder.exists()
        ]

    def remove(self, supervisor: SupervisorClient, folder: Path | None) -> None:
        """Wait until the supervisor has removed a server, or do it where it was killed."""
        clean = supervisor.close(self.end_limit())
        # a supervisor that does not even end by SIGKILL may wait for a disk: removing the folder would wait for it too
        if folder is not None and supervisor.ended and (not clean or folder.exists()):
            remove_server(str(folder))

    def end_limit(self) -> float:
        """Return the seconds for a supervisor to clean up and end: at the end of the run, all have one deadline."""
        if not self.cancelled.is_set():
            return END_LIMIT
        now = time.monotonic()
        self._deadline = self._deadline or now + END_LIMIT
        return max(_LEAST, self._deadline - now)
