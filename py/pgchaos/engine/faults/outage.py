"""The state of the server under faults: down, without free space or connections, and running again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pgchaos.engine.faults import actions
from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.commits import release_commits
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.waits import Condition, sleep
from pgchaos.language.fault_kinds import affects_server, form_of
from pgchaos.language.section_items import Fault
from pgchaos.server import PrivateServer, ServerError
from pgchaos.stop import Stop

_POLL_INTERVAL = 0.001
"""Seconds between checks of a server that starts."""
_RECOVERED_WITHIN = 60.0
"""Seconds for a server with free space to recover."""


class Outage:
    """The state of the server in one run."""

    def __init__(self, fault_connection: FaultConnection, stop: Stop, cleanup_stop: Stop) -> None:
        self._fault_connection, self._stop, self._cleanup_stop = fault_connection, stop, cleanup_stop
        self._up = Condition()
        self._down = 0
        self._touched = self._stopped = self._filled_disk = self._held_down = False
        self._checkpointer_start = ""

    async def await_server(self) -> bool:
        """Wait until no fault with a downtime is in progress; return False if the server stays stopped."""
        while self._down and not self._stop.is_set():
            await self._up.wait(stop=self._stop)
        return not self._stopped

    @asynccontextmanager
    async def of(self, fault: Fault) -> AsyncIterator[None]:
        """The time of one fault, in which sessions that lose a connection wait for the server."""
        self._touched = self._touched or affects_server(fault)
        if fault.kind == "fill" and fault.argument != "connections":
            await self._note_filled(fault)
        if not form_of(fault).downtime:
            yield
            return
        self._go_down()
        try:
            yield
            self._stopped = fault.kind == "stop"
        finally:
            self._come_up()

    async def _note_filled(self, fault: Fault) -> None:
        self._filled_disk, self._checkpointer_start = True, await actions.checkpointer_start(self._fault_connection)
        if fault.moment == "during" and fault.argument == "wal" and not self._held_down:
            # the server may go down, and cannot start without free space
            self._held_down = True
            self._go_down()

    def _go_down(self) -> None:
        self._down += 1

    def _come_up(self) -> None:
        self._down -= 1
        self._up.notify()

    async def restore(self) -> None:
        """Undo lasting effects of faults: the server runs, and has free space and connections.

        Raises:
            ServerError: it does not start, or does not recover.
            NotDelivered: it reports an error, or does not answer.
        """
        if self._touched:
            await self._bring_back()
        until = time.monotonic() + _RECOVERED_WITHIN
        while not await release_commits(self._fault_connection):
            if time.monotonic() > until:
                raise NotDelivered(f"it did not say within {_RECOVERED_WITHIN:g} s that commits wait for no standby")
            if await sleep(_POLL_INTERVAL, self._cleanup_stop):
                return  # the run is stopped

    async def _bring_back(self) -> None:
        await self.release()
        server_control = self._fault_connection.server_control
        if server_control is not None:
            if self._stopped and server_control.running:
                # a smart shutdown would wait for connected sessions for ever
                await self._fault_connection.do(lambda: server_control.stop("fast"))
            if not server_control.running:
                await actions.start(self._fault_connection, server_control)
        self._stopped = self._touched = False

    async def release(self, *, crashed: bool = False) -> None:
        """Free the space and the connections that faults took, and make sure that the server runs.

        Args:
            crashed: it went down without free space, or is about to: wait until it has recovered.

        Raises:
            ServerError: it does not start again, or does not recover.
            NotDelivered: it reports an error.
        """
        await self._fault_connection.release_connections()
        server_control = self._fault_connection.server_control
        if server_control is None or not self._filled_disk:
            return
        await self._fault_connection.do(server_control.empty)
        self._filled_disk = False
        try:
            await self._await_checkpointer(server_control, ("", self._checkpointer_start) if crashed else ("",))
        finally:
            if self._held_down:
                self._held_down = False
                self._come_up()

    async def _await_checkpointer(self, server_control: PrivateServer, before: tuple[str, ...]) -> None:
        """Wait for another checkpointer; start the server if it went down without space for its WAL."""
        until = time.monotonic() + _RECOVERED_WITHIN
        while await actions.checkpointer_start(self._fault_connection) in before:
            if time.monotonic() > until:
                raise ServerError(f"the server has room again, and has not recovered within {_RECOVERED_WITHIN:g} s")
            if not server_control.running:
                await self._fault_connection.do(server_control.start)
            if await sleep(_POLL_INTERVAL, self._cleanup_stop):
                return  # the run is stopped
