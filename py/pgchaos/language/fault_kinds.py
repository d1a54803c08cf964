"""The kinds of faults: one table, from which parsing, validation and the reference in LANGUAGE.md come.

engine/faults/actions.py holds the action of each kind that runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault


@dataclass(frozen=True, slots=True)
class FaultForm:
    """One way to write a kind of fault."""

    kind: str  # its first word
    # the word that follows, or in capitals what kind of words they are (see faults._argument); '' for none
    argument: str
    strikes: Literal["a session", "a backend", "the server", "a connection"]  # what its target may be
    # what the scenario must have for it: nothing, `alone` (all sessions of the server feel it), or a server of its own
    # (somebody must start the server again, or give it its disks)
    needs: Literal["nothing", "alone", "own server"]
    does: str = ""  # for the reference: what happens
    seen: str = ""  # for the reference: what a session sees
    downtime: bool = False  # the server takes no connections for a while
    runs: bool = True  # False where it is read, but not run yet


FORMS = (
    FaultForm(
        "cancel", "", "a session", "nothing",
        "cancels the statement that runs, as `pg_cancel_backend` does",
        "57014; the connection stays",
    ),
    FaultForm(
        "terminate", "", "a session", "nothing",
        "ends the connection, as `pg_terminate_backend` does",
        "57P01, the connection is lost",
    ),
    FaultForm(
        "kill", "", "a backend", "alone",
        "SIGKILL of one backend, or of a `PROCESS` of the server, as the out-of-memory killer sends it: the server ends"
        " all its sessions and recovers",
        "08006, all sessions",
        downtime=True,
    ),
    FaultForm(
        "crash", "", "the server", "own server",
        "SIGKILL of the whole server, like a power failure; it is started again at once",
        "08006, all sessions",
        downtime=True,
    ),
    FaultForm(
        "restart", "", "the server", "own server",
        "fast shutdown, and start; a server that was stopped is started",
        "57P01, all sessions",
        downtime=True,
    ),
    FaultForm(
        "stop", "fast", "the server", "own server",
        "the server stops, until a `restart` or until the sessions have ended",
        "57P01; then 08001, nobody can connect",
        downtime=True,
    ),
    FaultForm(
        "stop", "immediate", "the server", "own server",
        "the same, without a checkpoint: the server recovers when it starts",
        "08006; then 08001, nobody can connect",
        downtime=True,
    ),
    FaultForm(
        "stop", "smart", "the server", "own server",
        "open connections stay, new ones are refused",
        "57P03 at connecting",
        downtime=True,
    ),
    FaultForm(
        "fill", "connections", "the server", "alone",
        "takes all connections that the server has left",
        "53300 at connecting",
    ),
    FaultForm(
        "fill", "disk", "the server", "own server",
        "fills the disk of the tablespace `chaos_disk`; the scenario makes its tables there: `TABLESPACE chaos_disk`",
        "53100 where more of it is needed",
    ),
    FaultForm(
        "fill", "wal", "the server", "own server",
        "fills the disk of the WAL: the server PANICs, and recovers when there is room",
        "53100 or 08006 at writing, 08006 in all other sessions",
    ),
    FaultForm(
        "cut", "", "a connection", "nothing",
        "the network closes the connection (FIN); what the server has, it goes on with",
        "08006, the connection is lost",
    ),
    FaultForm(
        "reset", "", "a connection", "nothing",
        "the network breaks the connection off (RST); what the server has, it goes on with",
        "08006, the connection is lost",
    ),
    FaultForm(
        "stall", "[TIME]", "a connection", "nothing",
        "nothing passes for that long; without a time nothing at all, until a `heal`, a time-out of the client's, or"
        " the end of the run",
        "no answer; the next connection is sound",
    ),
    FaultForm(
        "latency", "TIME [jitter TIME]", "a connection", "nothing",
        "each round trip takes that much longer, half of it in each direction, and up to the jitter more or less; until"
        " a `heal`",
        "late answers, also on the next connections",
    ),
    FaultForm(
        "rate", "SIZE", "a connection", "nothing",
        "so many bytes pass in a second, in each direction (`500B`, `64kB`, `1MB`); until a `heal`",
        "slow answers, also on the next connections",
    ),
    FaultForm(
        "refuse", "", "a connection", "nothing",
        "new connections are refused, and those that stand go on; until a `heal`",
        "08001 at connecting",
    ),
    FaultForm(
        "heal", "", "a connection", "nothing",
        "ends every `stall`, `latency`, `rate` and `refuse`",
        "what was stalled passes",
    ),
    FaultForm("damage", "RELATION", "the server", "nothing", runs=False),
    FaultForm("promote", "", "the server", "nothing", runs=False),
)  # fmt: skip

KINDS: dict[str, tuple[FaultForm, ...]] = {
    form.kind: tuple(other for other in FORMS if other.kind == form.kind) for form in FORMS
}

PROCESSES = {
    "checkpointer": "checkpointer",
    "walwriter": "walwriter",
    "bgwriter": "background writer",
    "autovacuum": "autovacuum launcher",
}
"""Processes of a server that a fault may name, and their backend_type in pg_stat_activity."""

_MIB = 1 << 20
DISKS = {"disk": ("disk", 24 * _MIB), "wal": ("wal", 96 * _MIB)}
"""What `fill` can fill: the folder of the server that gets a file system of its own, and its size in bytes."""


def form_of(fault: Fault) -> FaultForm:
    """Find the row of the table that a fault is written by."""
    forms = KINDS[fault.kind]
    # where the argument is a time or a relation there is one form
    return next((form for form in forms if form.argument == fault.argument), forms[0])


def strikes_backends(fault: Fault) -> bool:
    """Whether a fault strikes backends by their pids, not the server as a whole."""
    return form_of(fault).strikes in ("a session", "a backend")


def strikes_connections(fault: Fault) -> bool:
    """Whether it is a fault of the network, which the server does not carry out."""
    return form_of(fault).strikes == "a connection"


def felt_by_server(fault: Fault) -> bool:
    """Whether all sessions of the server feel a fault, not only those of the scenario."""
    return form_of(fault).needs != "nothing"


def needs_own_server(fault: Fault) -> bool:
    """Whether a fault needs a server that only this scenario uses."""
    return form_of(fault).needs == "own server"


def disks_of(scenario: Scenario) -> dict[str, int]:
    """The folders of a scenario's own server that need a file system of their own, to be filled; sizes in bytes."""
    return dict(disk for name, disk in DISKS.items() if name in scenario.fills)


def strikes_own_session(fault: Fault) -> bool:
    """Whether `when blocked` of a fault means its own session: it names no other."""
    return fault.target is None or fault.target == "server" or fault.target in PROCESSES


def describe(fault: Fault) -> str:
    """Write a fault for the history and messages: `kill of shop[2]`."""
    what = f"{fault.kind} {fault.argument}".strip()
    if fault.target is None:
        return what
    return f"{what} of {fault.target}" + (f"[{fault.worker}]" if fault.worker else "")
