"""What kinds of faults there are, and what each takes. Pure."""

from __future__ import annotations

from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault

RUN = frozenset({"cancel", "terminate", "kill", "crash", "stop", "restart", "fill"})
"""The kinds that are carried out; the others of the language are read only."""

PROCESSES = {
    "checkpointer": "checkpointer",
    "walwriter": "walwriter",
    "bgwriter": "background writer",
    "autovacuum": "autovacuum launcher",
}
"""Processes of a server that a fault may name, and their backend_type in pg_stat_activity."""

_MIB = 1 << 20
DISKS = {"disk": ("disk", 24 * _MIB), "wal": ("wal", 96 * _MIB)}
"""What can be filled: the folder of the server that gets a file system of its own, and its size in bytes."""


def of_server(fault: Fault) -> bool:
    """Say whether a fault is felt by all sessions of the server.

    Args:
        fault: of a scenario.
    """
    return fault.kind in ("kill", "crash", "stop", "restart", "fill")


def needs_own_server(fault: Fault) -> bool:
    """Say whether a fault is only for a server that the scenario has for itself.

    Args:
        fault: of a scenario.

    Returns:
        True where somebody has to start the server again, or to give it its disks.
    """
    return fault.kind in ("crash", "stop", "restart") or (fault.kind == "fill" and fault.argument in DISKS)


def disks_of(scenario: Scenario) -> dict[str, int]:
    """Tell which folders of a scenario's own server get a file system of their own, so that they can be filled.

    Args:
        scenario: as read.

    Returns:
        The size in bytes of each.
    """
    return dict(disk for name, disk in DISKS.items() if name in scenario.fills)


def waits_for_own(fault: Fault) -> bool:
    """Say whether `when blocked` means the session in which the fault stands.

    Args:
        fault: of a scenario.
    """
    return fault.target is None or fault.target == "server" or fault.target in PROCESSES


def told(fault: Fault) -> str:
    """Write a fault as a file does, for the history and messages.

    Args:
        fault: of a scenario.

    Returns:
        Its kind and target: `kill of shop[2]`.
    """
    what = f"{fault.kind} {fault.argument}".strip()
    if fault.target is None:
        return what
    return f"{what} of {fault.target}" + (f"[{fault.worker}]" if fault.worker else "")
