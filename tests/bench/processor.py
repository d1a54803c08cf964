"""Processor time that a run took: the client's, and the server's beside it."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from pgchaos.server.private import PrivateServer
from pgchaos.server.server import Server

_PROC = Path("/proc")
_UNITS = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s"))


@dataclass(frozen=True, slots=True)
class Processor:
    """Seconds of processor time.

    Args:
        client: of this process, and of the programs that it ran to their end, with a server that they started.
        server: of the server that this process started; None where there is none, or no /proc to read it from.
    """

    client: float
    server: float | None = None

    def since(self, before: Processor) -> Processor:
        """Give what was taken since."""
        both = self.server is not None and before.server is not None
        server = (self.server or 0.0) - (before.server or 0.0) if both else None
        return Processor(self.client - before.client, server)

    def shown(self, each: int) -> str:
        """Write the time of one of so many things that were done."""
        if self.server is None:
            return _seconds(self.client / each)
        return f"{_seconds(self.client / each)} + {_seconds(self.server / each)}"


def processor(server: Server | PrivateServer | None = None) -> Processor:
    """Read the processor time that was taken so far; with a server that this process started, its own."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    client = sum(one.ru_utime + one.ru_stime for one in usage)
    private = server.private if isinstance(server, Server) else server
    return Processor(client, _of_server(private.pid) if private is not None and _PROC.exists() else None)


def _of_server(postmaster: int) -> float:
    """Add up what the postmaster, those of its children that have ended, and those that run have taken."""
    ticks = 0
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                # the name, in parentheses, may hold anything (proc(5))
                fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if postmaster in (int(folder.name), int(fields[1])):
                ticks += sum(map(int, fields[11:15] if int(folder.name) == postmaster else fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _seconds(value: float) -> str:
    factor, unit = next((factor, unit) for limit, factor, unit in _UNITS if value < limit)
    digits = 0 if value * factor >= 100 else 1 if value * factor >= 10 else 2
    return f"{value * factor:.{digits}f} {unit}"
