"""The TCP connections of this machine, as the kernel lists them (proc(5), /proc/net/tcp)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
"""Also the second: a client that can do IPv6 may reach an address of IPv4 by it."""


def unacknowledged(local: int, remote: int) -> int | None:
    """Count what one end of a local connection has sent and the other has not acknowledged.

    Args:
        local: the port of the end that sends.
        remote: that of the other.

    Returns:
        Bytes, FIN as one; None where there is no such end any more.
    """
    ends = f":{local:04X}", f":{remote:04X}"
    for table in _TABLES:
        with suppress(OSError):  # not Linux, or without IPv6
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                _, mine, other, _, queues, *_ = line.split()
                if mine.endswith(ends[0]) and other.endswith(ends[1]):
                    return int(queues.partition(":")[0], 16)
    return None
