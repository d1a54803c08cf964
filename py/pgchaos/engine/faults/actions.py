"""The actions of the kinds of faults. `carry_out` needs only pids and access to the server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from signal import SIGKILL
from typing import Literal, Protocol, TypeVar

from pgchaos.language.fault_kinds import DISKS, PROCESSES
from pgchaos.posix import processes
from pgchaos.server import PrivateServer, ServerError

T = TypeVar("T")

_RECOVERED_WITHIN = 60.0
"""Seconds for a crash recovery."""
_STARTED_WITHIN = 10.0
"""Seconds for a server that accepts connections to start its processes."""
_STOPPED_WITHIN = 60.0
"""Seconds for a server to shut down."""
_LEAST = 3.0
"""Seconds that a fault may always take, even if the time of the sessions is over."""
_ENDED_WITHIN = 10.0
"""Seconds for a terminated backend to end."""
_NO_AUTOVACUUM = "SELECT WHERE '{}' LIKE 'autovacuum%' AND pg_catalog.current_setting('autovacuum') = 'off'"
_OURS = "FROM pg_catalog.pg_stat_activity WHERE pid = {} AND datname = pg_catalog.current_database()"
"""A backend of the scenario's database: the pid alone may belong to a backend of another database by now."""
_THEN = " AND extract(epoch FROM backend_start) = {}"
"""With its start time: in a database with other users, one of their backends may have the pid by now."""
_OURS_TO_KILL = (
    "FROM pg_catalog.pg_stat_activity WHERE pid = {}"
    " AND (datname = pg_catalog.current_database() OR backend_type <> 'client backend')"
)
_POLL_INTERVAL = 0.002

Row = Sequence["str | None"]


class NotDelivered(Exception):
    """A fault could not be delivered; the message has the reason."""


class TargetGone(NotDelivered):
    """There was no target at that time; a search that chooses the time may choose another."""


OVER = "the statement was over before the fault could be delivered: let it wait for something there"
"""Why a fault during a statement was not delivered."""


class ServerAccess(Protocol):
    """What actions need: queries, control of the server, blocking calls and pauses."""

    @property
    def until(self) -> float:
        """When the time of the sessions is over, on `time.monotonic()`."""

    @property
    def server_control(self) -> PrivateServer | None:
        """The server itself, if we started it."""

    async def ask(self, query: str) -> list[Row] | None:
        """Run a query, on a connection that is opened again if it was lost.

        Args:
            query: of one statement.

        Returns:
            Its rows; None if there is no connection, or it was lost.

        Raises:
            NotDelivered: the server reports an error.
        """

    def backend_start(self, pid: int) -> str:
        """Return when a backend of the run began, in seconds since the epoch; '' if unknown."""

    async def refused(self) -> bool:
        """Whether the server refuses new connections."""

    async def take_connections(self) -> None:
        """Open all connections that the server has left, and keep them."""

    async def do(self, work: Callable[[], T]) -> T:
        """Make a blocking call, while other tasks run."""

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""


def deadline(now: float, seconds: float, access: ServerAccess) -> float:
    """Return when work of a fault must end, which begins now: soon after the time of the sessions is over.

    Args:
        now: on `time.monotonic()`, as is what is returned.
        seconds: that the work may take.
        access: to the server.
    """
    return min(now + seconds, max(now + _LEAST, access.until))


async def carry_out(access: ServerAccess, kind: str, argument: str, pids: Collection[int]) -> None:
    """Carry out a fault, and return when it has had its effect: for a crash, when the server has recovered."""
    await ACTIONS[kind](access, argument, pids)


async def _cancel(access: ServerAccess, _: str, pids: Collection[int]) -> None:
    for pid in pids:
        await _signal(access, f"pg_cancel_backend({pid})", pid)


async def _terminate(access: ServerAccess, _: str, pids: Collection[int]) -> None:
    for pid in pids:
        await _signal(access, f"pg_terminate_backend({pid})", pid)
        await _await_end(access, pid)


async def _await_end(access: ServerAccess, pid: int) -> None:
    # pg_terminate_backend would itself wait, in steps of 100 ms, and other faults with it
    now = time.monotonic()
    until = deadline(now, _ENDED_WITHIN, access)
    while await access.ask(f"SELECT {_ours(access, _OURS, pid)}"):
        if time.monotonic() > until:
            raise NotDelivered(f"backend {pid} did not end within {until - now:.3g} s")
        await access.sleep(_POLL_INTERVAL)  # polled: the end of a backend is not reported


async def _signal(access: ServerAccess, call: str, pid: int) -> None:
    ours = _ours(access, _OURS, pid)
    rows = await access.ask(f"SELECT pg_catalog.{call} {ours}")
    if rows is None:
        raise TargetGone("the server does not answer")
    if rows and rows[0][0] == "t":
        return
    if await access.ask(f"SELECT {ours}"):
        raise NotDelivered(f"the server could not signal backend {pid}")
    raise TargetGone(f"the server has no backend {pid} any more")


def _ours(access: ServerAccess, ours: str, pid: int) -> str:
    start = access.backend_start(pid)
    return ours.format(pid) + (_THEN.format(start) if start else "")


def _require_control(access: ServerAccess) -> PrivateServer:
    if access.server_control is None:
        raise NotDelivered("this server was not started by pgchaos, which could not start it again")
    return access.server_control


async def _crash(access: ServerAccess, _: str, __: Collection[int]) -> None:
    server_control = _require_control(access)
    await access.do(server_control.crash)
    await start(access, server_control)


async def _restart(access: ServerAccess, _: str, __: Collection[int]) -> None:
    server_control = _require_control(access)
    await _end(access, server_control, "fast")
    await start(access, server_control)


async def _stop(access: ServerAccess, argument: str, _: Collection[int]) -> None:
    server_control = _require_control(access)
    if argument == "smart":
        await access.ask("SELECT 1")  # opens the connection for later faults
        await access.do(lambda: server_control.stop("smart", limit=0))
        await _await(access, access.refused, "the server refuses new connections")
    else:
        await _end(access, server_control, "fast" if argument == "fast" else "immediate")


async def _end(access: ServerAccess, server_control: PrivateServer, mode: Literal["fast", "immediate"]) -> None:
    if not await access.do(lambda: server_control.stop(mode, _STOPPED_WITHIN)):
        raise NotDelivered(f"the server did not end within {_STOPPED_WITHIN:g} s")


async def start(access: ServerAccess, server_control: PrivateServer) -> None:
    """Start a server, and wait until its checkpointer is visible, which later shows a recovery.

    Raises:
        ServerError: it does not start.
    """
    await access.do(server_control.start)

    # the server accepts connections a moment earlier
    async def shows() -> bool:
        return bool(await checkpointer_start(access))

    await _await(access, shows, "the server shows its checkpointer")


async def _kill(access: ServerAccess, _: str, pids: Collection[int]) -> None:
    """Kill processes, and wait until the server has recovered.

    A new checkpointer proves it: pg_postmaster_start_time() does not change.
    """
    before = await checkpointer_start(access)
    if not before and await access.ask("") is None:
        raise TargetGone("the server does not answer")
    if not before and access.server_control is not None:
        await process(access, "checkpointer")
        before = await checkpointer_start(access)
    if not before:
        raise NotDelivered("the server does not say when its checkpointer was started: only a superuser can see that")
    for pid in pids:
        await _kill_one(access, pid)

    async def recovered() -> bool:
        return (await checkpointer_start(access) or before) != before

    await _await(access, recovered, "the server has recovered")


async def _kill_one(access: ServerAccess, pid: int) -> None:
    if access.server_control is not None:
        _kill_child(access.server_control, pid)
        return
    # the server may be on another machine, or in a container, where pids differ: let the server's machine do it
    # no row: the program does not read it, and an unread row would be an error
    if await access.ask(f"SELECT {_ours(access, _OURS_TO_KILL, pid)}"):
        await access.ask(f"COPY (SELECT WHERE false) TO PROGRAM 'kill -9 {pid}'")
        return
    raise TargetGone(f"the server has no process {pid} any more")


def _kill_child(server_control: PrivateServer, pid: int) -> None:
    """Kill a process of our server, if it is a child: the pid may be reused by now, or forged by the server."""
    process = processes.look_up(pid)
    # the parent must still run, or its pid may be reused too
    if (
        process is not None
        and process.parent == server_control.pid
        and server_control.running
        and processes.send(process, SIGKILL)
    ):
        return
    raise TargetGone(f"the server has no process {pid} any more")


async def checkpointer_start(access: ServerAccess) -> str:
    """Return when the checkpointer was started: a new one proves that the server has recovered from a crash."""
    rows = await access.ask("SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'")
    return str(rows[0][0] or "") if rows else ""


async def process(access: ServerAccess, name: str) -> int:
    """Find a process of the server."""
    kind = PROCESSES[name]
    until = time.monotonic() + _STARTED_WITHIN
    while not (rows := await access.ask(f"SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = '{kind}'")):
        # a server accepts connections a moment before all of its processes are visible
        if (
            rows is None
            or access.server_control is None
            or time.monotonic() > until
            or await access.ask(_NO_AUTOVACUUM.format(kind))
        ):
            raise TargetGone(f"the server has no {kind}")
        await access.sleep(_POLL_INTERVAL)  # polled: the start of a process is not reported
    return int(str(rows[0][0]))


async def fill(access: ServerAccess, what: str, _: Collection[int] = ()) -> None:
    """Fill one of `fault_kinds.DISKS`, or take all connections.

    Raises:
        NotDelivered: the server is not ours, or the system refuses it.
    """
    if what == "connections":
        await access.take_connections()
        return
    if access.server_control is None:
        raise NotDelivered("this server was not started by pgchaos, which gave it no disk to fill")
    try:
        await access.do(partial(access.server_control.fill, DISKS[what][0]))
    except OSError as error:
        raise NotDelivered(f"the disk is not full: {error}") from None


ACTIONS: Mapping[str, Callable[[ServerAccess, str, Collection[int]], Awaitable[None]]] = {
    "cancel": _cancel,
    "terminate": _terminate,
    "kill": _kill,
    "crash": _crash,
    "restart": _restart,
    "stop": _stop,
    "fill": fill,
}
"""The action of each kind in fault_kinds.FORMS: called with the argument of the fault, and its targets' pids."""


async def _await(access: ServerAccess, state: Callable[[], Awaitable[bool]], what: str) -> None:
    until = time.monotonic() + _RECOVERED_WITHIN
    while not await state():
        if time.monotonic() > until:
            raise ServerError(f"not within {_RECOVERED_WITHIN:g} s: {what}")
        await access.sleep(_POLL_INTERVAL)  # polled: such states are not reported
