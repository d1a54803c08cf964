"""The table of the kinds of faults, used by the parser, validation and the reference in LANGUAGE.md.

engine/faults/actions.py has the action of each kind.
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
    # the word that follows, or in capitals the kind of words that follow (see faults._argument); '' for none
    argument: str
    targets: Literal["a session", "a backend", "the server", "a connection"]  # what it affects
    # what the scenario must have: nothing, `alone` (it affects all sessions of the server), or a server of its own (the
    # server must be started again, or needs disks of its own)
    needs: Literal["nothing", "alone", "own server"]
    does: str  # for the reference: what happens
    seen: str  # for the reference: what a session sees
    downtime: bool = False  # the server accepts no connections for a while

    @property
    def written(self) -> str:
        """The kind with its argument."""
        return f"{self.kind} {self.argument}".strip()


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
"""Processes of a server that a fault may target, and their backend_type in pg_stat_activity."""

_MIB = 1 << 20
DISKS = {"disk": ("disk", 24 * _MIB), "wal": ("wal", 96 * _MIB)}
"""What `fill` can fill: the folder of the server that has its own file system, and its size in bytes."""


def form_of(fault: Fault) -> FaultForm:
    """Return the table row of a fault."""
    forms = KINDS[fault.kind]
    # a kind whose argument is a time or a rate has one row
    return next((form for form in forms if form.argument == fault.argument), forms[0])


def targets_backends(fault: Fault) -> bool:
    """Whether a fault targets backends by their pids, and not the server as a whole."""
    return form_of(fault).targets in ("a session", "a backend")


def targets_connections(fault: Fault) -> bool:
    """Whether a fault is one of the network."""
    return form_of(fault).targets == "a connection"


def affects_server(fault: Fault) -> bool:
    """Whether a fault affects all sessions of the server, not only those of the scenario."""
    return form_of(fault).needs != "nothing"


def needs_own_server(fault: Fault) -> bool:
    """Whether a fault needs a server that only this scenario uses."""
    return form_of(fault).needs == "own server"


def disks_of(scenario: Scenario) -> dict[str, int]:
    """Return the folders of a scenario's own server that need their own file system, with its size in bytes."""
    return dict(disk for name, disk in DISKS.items() if name in scenario.fills)


def is_server_target(target: str | None) -> bool:
    """Whether the target of a fault is the server or one of its processes, and not a session."""
    return target == "server" or target in PROCESSES


def targets_own_session(fault: Fault) -> bool:
    """Whether `when blocked` of a fault refers to its own session, because its target is no other session."""
    return fault.target is None or is_server_target(fault.target)


def name_of(fault: Fault) -> str:
    """Return the kind of a fault with its argument, such as `stop fast`."""
    return f"{fault.kind} {fault.argument}".strip()


def describe(fault: Fault) -> str:
    """Describe a fault for the history and messages, as `kill of shop[2]`."""
    if fault.target is None:
        return name_of(fault)
    return f"{name_of(fault)} of {fault.target}" + (f"[{fault.worker}]" if fault.worker else "")
