"""Whose is it? A run as it is written beside what it made, and whether it is over."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace

import psutil

from pgchaos.server.processes import has_ended, start_of, system_id

LEASE = 24 * 3600
"""Seconds by the server's clock after which a run that this system cannot look at is taken for over, where it has
neither renewed its record nor is connected. It renews it every few minutes (lease.py)."""


@dataclass(frozen=True, slots=True)
class RunId:
    """A run: its id, and the process that it is.

    Args:
        id: eight hexadecimal digits, part of the names of its databases.
        host: where it runs.
        pid: its process.
        started: when that process began, in seconds since the epoch; only earlier versions read it, for the clock can
            be set.
        system: that the pid counts in, as `processes.system_id` names it; '' for unknown.
        start: when the process began, as `processes.start_of` says it; 0 for unknown.
        renewed: when it last said that it lives, in seconds since the epoch by the server's clock; 0 for unknown.
    """

    id: str
    host: str
    pid: int
    started: float
    system: str = ""
    start: int = 0
    renewed: int = 0

    @classmethod
    def new(cls) -> RunId:
        """Name a new run of this process."""
        pid = os.getpid()
        started = psutil.Process().create_time()
        return cls(secrets.token_hex(4), socket.gethostname(), pid, started, system_id(), start_of(pid))

    def at(self, now: int) -> RunId:
        """Renew it.

        Args:
            now: seconds since the epoch by the server's clock.

        Returns:
            The same run, which said just then that it lives.
        """
        return replace(self, renewed=now)

    def dumps(self) -> str:
        """Write it down; `loads` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> RunId | None:
        """Read what `dumps` wrote, in this version or an earlier one.

        Args:
            text: any text.

        Returns:
            The run, or None where the text is none.
        """
        try:
            values = json.loads(text)
            return cls(
                str(values["id"]),
                str(values["host"]),
                int(values["pid"]),
                float(values["started"]),
                str(values.get("system", "")),
                int(values.get("start", 0)),
                int(values.get("renewed", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def visible(self) -> bool:
        """Whether this system can tell if its process runs."""
        return self.system != "" and self.system == system_id()

    def is_over(self, now: int) -> bool:
        """Say whether it is known to be over. That it is not connected must be known beside.

        Args:
            now: seconds since the epoch by the server's clock.

        Returns:
            Of a run of this system, whether its process has ended. Of another, whether it has not renewed its record
            for the time of the lease. False where that is not certain.
        """
        if self.visible:
            return has_ended(self.pid, self.start)
        return 0 < self.renewed < now - LEASE
