"""How each kind of fault is carried out. Whoever has pids and a way to the server may call `carry_out`, at any time."""

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
"""Seconds in which a server that takes connections already has started its processes."""
_STOPPED_WITHIN = 60.0
"""Seconds in which the server ends that is told to stop."""
_ENDED_WITHIN = 10_000
"""Milliseconds in which a backend ends that is terminated."""
_NO_AUTOVACUUM = "SELECT WHERE '{}' LIKE 'autovacuum%' AND pg_catalog.current_setting('autovacuum') = 'off'"
_OURS = "FROM pg_catalog.pg_stat_activity WHERE pid = {} AND datname = pg_catalog.current_database()"
"""A backend of the scenario's database: the number alone may be another's by now, who works in another database."""
_THEN = " AND extract(epoch FROM backend_start) = {}"
"""The one that began then: in a database where others work, one of them may have got the number."""
_OURS_TO_KILL = (
    "FROM pg_catalog.pg_stat_activity WHERE pid = {}"
    " AND (datname = pg_catalog.current_database() OR backend_type <> 'client backend')"
)
_POLL_INTERVAL = 0.002

Row = Sequence["str | None"]


class NotDelivered(Exception):
    """A fault could not be delivered: the message says why."""


class TargetGone(NotDelivered):
    """There was nothing to strike at that time; a search that chooses the time may choose another."""


OVER = "the statement was over before it could strike: let it wait for something there"
"""Why a fault is missed that strikes during a statement."""


class Reach(Protocol):
    """What faults need of the world."""

    @property
    def server_control(self) -> PrivateServer | None:
        """The server itself, where we started it."""

    async def ask(self, query: str) -> list[Row] | None:
        """Ask the server, over a connection that is opened anew where it was lost.

        Args:
            query: of one statement.

        Returns:
            Its rows; None where there is no connection, or it was lost.

        Raises:
            NotDelivered: the server says that something is wrong with it.
        """

    def began(self, pid: int) -> str:
        """Tell when a backend of the run began, in seconds since the epoch."""

    async def refused(self) -> bool:
        """Say whether the server takes no new connections."""

    async def take_connections(self) -> None:
        """Take every connection that the server has left, and keep them."""

    async def do(self, work: Callable[[], T]) -> T:
        """Do something that blocks, with processes or files; others go on meanwhile."""

    async def sleep(self, seconds: float) -> None:
        """Let some time pass."""


async def carry_out(reach: Reach, kind: str, argument: str, pids: Collection[int]) -> None:
    """Carry out a fault, and return when it has had its effect: for a crash, when the server has recovered."""
    await ACTIONS[kind](reach, argument, pids)


async def _cancel(reach: Reach, _: str, pids: Collection[int]) -> None:
    for pid in pids:
        await _signal(reach, f"pg_cancel_backend({pid})", pid)


async def _terminate(reach: Reach, _: str, pids: Collection[int]) -> None:
    for pid in pids:
        await _signal(reach, f"pg_terminate_backend({pid}, {_ENDED_WITHIN})", pid)


async def _signal(reach: Reach, call: str, pid: int) -> None:
    ours = _ours(reach, _OURS, pid)
    rows = await reach.ask(f"SELECT pg_catalog.{call} {ours}")
    if rows is None:
        raise TargetGone("the server does not answer")
    if rows and rows[0][0] == "t":
        return
    if await reach.ask(f"SELECT {ours}"):
        raise NotDelivered(f"backend {pid} did not end within {_ENDED_WITHIN // 1000} s")
    raise TargetGone(f"the server has no backend {pid} any more")


def _ours(reach: Reach, ours: str, pid: int) -> str:
    began = reach.began(pid)
    return ours.format(pid) + (_THEN.format(began) if began else "")


def _require_control(reach: Reach) -> PrivateServer:
    if reach.server_control is None:
        raise NotDelivered("this server was not started by pgchaos, which could not start it again")
    return reach.server_control


async def _crash(reach: Reach, _: str, __: Collection[int]) -> None:
    server_control = _require_control(reach)
    await reach.do(server_control.crash)
    await start(reach, server_control)


async def _restart(reach: Reach, _: str, __: Collection[int]) -> None:
    server_control = _require_control(reach)
    await _end(reach, server_control, "fast")
    await start(reach, server_control)


async def _stop(reach: Reach, argument: str, _: Collection[int]) -> None:
    server_control = _require_control(reach)
    if argument == "smart":
        await reach.ask("SELECT 1")  # whoever is to strike later has a connection then
        await reach.do(lambda: server_control.stop("smart", limit=0))
        await _await(reach, reach.refused, "the server refuses new connections")
    else:
        await _end(reach, server_control, "fast" if argument == "fast" else "immediate")


async def _end(reach: Reach, server_control: PrivateServer, mode: Literal["fast", "immediate"]) -> None:
    if not await reach.do(lambda: server_control.stop(mode, _STOPPED_WITHIN)):
        raise NotDelivered(f"the server did not end within {_STOPPED_WITHIN:g} s")


async def start(reach: Reach, server_control: PrivateServer) -> None:
    """Start a server that is down, and wait until its checkpointer shows, by which a recovery is known.

    Raises:
        ServerError: it does not start.
    """
    await reach.do(server_control.start)

    # the server is ready a moment before
    async def shows() -> bool:
        return bool(await checkpointer_start(reach))

    await _await(reach, shows, "the server shows its checkpointer")


async def _kill(reach: Reach, _: str, pids: Collection[int]) -> None:
    """Kill processes, and wait until the server has recovered.

    What proves it is another checkpointer: pg_postmaster_start_time() stays as it was.
    """
    before = await checkpointer_start(reach)
    if not before and await reach.ask("") is None:
        raise TargetGone("the server does not answer")
    if not before and reach.server_control is not None:
        await process(reach, "checkpointer")
        before = await checkpointer_start(reach)
    if not before:
        raise NotDelivered(
            "the server does not say when its checkpointer was started: it takes a superuser to see that"
        )
    for pid in pids:
        await _kill_one(reach, pid)

    async def recovered() -> bool:
        return (await checkpointer_start(reach) or before) != before

    await _await(reach, recovered, "the server has recovered")


async def _kill_one(reach: Reach, pid: int) -> None:
    if reach.server_control is not None:
        _kill_child(reach.server_control, pid)
        return
    # on another machine, or in a container, the number is another process's here: let the server's machine do it
    # no row: the program reads none, and one that it left in the pipe would be an error
    if await reach.ask(f"SELECT {_ours(reach, _OURS_TO_KILL, pid)}"):
        await reach.ask(f"COPY (SELECT WHERE false) TO PROGRAM 'kill -9 {pid}'")
        return
    raise TargetGone(f"the server has no process {pid} any more")


def _kill_child(server_control: PrivateServer, pid: int) -> None:
    """Kill a process of a server of ours: a number alone may be another process's by now, or a lie of the server's."""
    process = processes.look_up(pid)
    # the parent still runs, or its number too might be another's
    if (
        process is not None
        and process.parent == server_control.pid
        and server_control.running
        and processes.send(process, SIGKILL)
    ):
        return
    raise TargetGone(f"the server has no process {pid} any more")


async def checkpointer_start(reach: Reach) -> str:
    """Tell when the checkpointer was started: another one proves that the server has recovered from a crash."""
    rows = await reach.ask("SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'")
    return str(rows[0][0] or "") if rows else ""


async def process(reach: Reach, name: str) -> int:
    """Find a process of the server."""
    kind = PROCESSES[name]
    until = time.monotonic() + _STARTED_WITHIN
    while not (rows := await reach.ask(f"SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = '{kind}'")):
        # a server that was just started takes connections a moment before all of them show
        if (
            rows is None
            or reach.server_control is None
            or time.monotonic() > until
            or await reach.ask(_NO_AUTOVACUUM.format(kind))
        ):
            raise TargetGone(f"the server has no {kind}")
        await reach.sleep(_POLL_INTERVAL)  # polled: processes start without a word
    return int(str(rows[0][0]))


async def fill(reach: Reach, what: str, _: Collection[int] = ()) -> None:
    """Fill one of `fault_kinds.DISKS`, or take all connections.

    Raises:
        NotDelivered: the server is not ours, or the system refuses it.
    """
    if what == "connections":
        await reach.take_connections()
        return
    if reach.server_control is None:
        raise NotDelivered("this server was not started by pgchaos, which gave it no disk to fill")
    try:
        await reach.do(partial(reach.server_control.fill, DISKS[what][0]))
    except OSError as error:
        raise NotDelivered(f"the disk is not full: {error}") from None


ACTIONS: Mapping[str, Callable[[Reach, str, Collection[int]], Awaitable[None]]] = {
    "cancel": _cancel,
    "terminate": _terminate,
    "kill": _kill,
    "crash": _crash,
    "restart": _restart,
    "stop": _stop,
    "fill": fill,
}
"""How each kind of fault_kinds.FORMS that runs is carried out: with its argument, and the backends that it strikes."""


async def _await(reach: Reach, state: Callable[[], Awaitable[bool]], what: str) -> None:
    until = time.monotonic() + _RECOVERED_WITHIN
    while not await state():
        if time.monotonic() > until:
            raise ServerError(f"not within {_RECOVERED_WITHIN:g} s: {what}")
        await reach.sleep(_POLL_INTERVAL)  # polled: of processes that come and go nobody tells
