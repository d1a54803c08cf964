"""The TCP connections of this machine, as the kernel lists them (proc(5), /proc/net/tcp)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
"""Also the second: a client that can do IPv6 may reach an address of IPv4 by it."""


def _entries() -> Iterator[tuple[str, str, str, int]]:
    """Read the ports of each end, its own and the remote one, what it has queued, and the inode of its socket."""
    for table in _TABLES:
        with suppress(OSError):  # not Linux, or without IPv6
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                _, local, remote, _, queues, _, _, _, _, inode, *_ = line.split()
                yield local.rpartition(":")[2], remote.rpartition(":")[2], queues, int(inode)


def unacknowledged(local: int, remote: int) -> int | None:
    """Count what one end of a local connection has sent and the other has not acknowledged.

    Args:
        local: the port of the end that sends.
        remote: that of the other.

    Returns:
        Bytes, FIN as one; None where there is no such end any more.
    """
    ends = f"{local:04X}", f"{remote:04X}"
    return next((int(queues.partition(":")[0], 16) for *ports, queues, _ in _entries() if tuple(ports) == ends), None)


def peers() -> dict[int, int]:
    """Map the inode of each socket to that of the other end, if that is on this machine too."""
    inodes = {(local, remote): inode for local, remote, _, inode in _entries()}
    return {inode: inodes[remote, local] for (local, remote), inode in inodes.items() if (remote, local) in inodes}
