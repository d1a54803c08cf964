"""What faults do to the server as a whole: it goes down, has no room left, and comes back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pgchaos.engine.faults import actions
from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.commits import let_go
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.waits import News, sleep
from pgchaos.language.fault_kinds import felt_by_server, form_of
from pgchaos.language.section_items import Fault
from pgchaos.server import PrivateServer, ServerError
from pgchaos.stop import Stop

_POLL_INTERVAL = 0.001
"""Seconds between two looks at a server that shall come up."""
_RECOVERED_WITHIN = 60.0
"""Seconds in which a server comes up that has room again."""


class Outage:
    """What becomes of the server in one run."""

    def __init__(self, fault_connection: FaultConnection, stop: Stop, cleanup_stop: Stop) -> None:
        self._fault_connection, self._stop, self._cleanup_stop = fault_connection, stop, cleanup_stop
        self._up = News()
        self._down = 0
        self._touched = self._stopped = self._filled_disk = self._held_down = False
        self._checkpointer_start = ""

    async def await_server(self) -> bool:
        """Wait until no fault is being carried out that the server must recover from."""
        while self._down and not self._stop.is_set():
            await self._up.wait(stop=self._stop)
        return not self._stopped

    @asynccontextmanager
    async def of(self, fault: Fault) -> AsyncIterator[None]:
        """Carry a fault out: whoever loses a connection by it waits for the server."""
        self._touched = self._touched or felt_by_server(fault)
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
            # until there is room again it may go down and not come up
            self._held_down = True
            self._go_down()

    def _go_down(self) -> None:
        self._down += 1

    def _come_up(self) -> None:
        self._down -= 1
        self._up.notify()

    async def restore(self) -> None:
        """Undo what faults did to the server that lasts: it runs, and has room on its disks and for connections.

        Raises:
            ServerError: it does not start, or does not recover.
            NotDelivered: it says that something is wrong with it, or says nothing.
        """
        if self._touched:
            await self._bring_back()
        until = time.monotonic() + _RECOVERED_WITHIN
        while not await let_go(self._fault_connection):
            if time.monotonic() > until:
                raise NotDelivered(f"it did not say within {_RECOVERED_WITHIN:g} s that commits wait for no standby")
            if await sleep(_POLL_INTERVAL, self._cleanup_stop):
                return  # nothing can be asked any more

    async def _bring_back(self) -> None:
        await self.release()
        server_control = self._fault_connection.server_control
        if server_control is not None:
            if self._stopped and server_control.running:
                # of those who still are connected a smart shutdown would wait for ever
                await self._fault_connection.do(lambda: server_control.stop("fast"))
            if not server_control.running:
                await actions.start(self._fault_connection, server_control)
        self._stopped = self._touched = False

    async def release(self, *, crashed: bool = False) -> None:
        """Give back the room that faults took, on disks and for connections, and see that the server runs.

        Args:
            crashed: it went down for want of room, or is about to: wait until it has recovered.

        Raises:
            ServerError: it does not start again, or does not recover.
            NotDelivered: it says that something is wrong with it.
        """
        await self._fault_connection.give_connections()
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
        """Wait for another checkpointer; without room for its WAL the server may have gone down for good."""
        until = time.monotonic() + _RECOVERED_WITHIN
        while await actions.checkpointer_start(self._fault_connection) in before:
            if time.monotonic() > until:
                raise ServerError(f"the server has room again, and has not recovered within {_RECOVERED_WITHIN:g} s")
            if not server_control.running:
                await self._fault_connection.do(server_control.start)
            if await sleep(_POLL_INTERVAL, self._cleanup_stop):
                return  # nothing can be asked any more
