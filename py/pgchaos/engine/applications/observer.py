"""The observer of one worker's proxy: its connections and their requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from psycopg import pq

from pgchaos import clock
from pgchaos.engine.applications.outcomes import NoticeFields
from pgchaos.engine.applications.program_connection import ProgramConnection
from pgchaos.engine.applications.worker import Worker
from pgchaos.engine.proxy.observer import ClientConnection, Observer
from pgchaos.engine.proxy.requests import Request
from pgchaos.engine.proxy.tracker import Outcome
from pgchaos.results import Notification


class ProgramObserver(Observer):
    """Makes a ProgramConnection of each connection, and passes requests and answers to it.

    Args:
        worker: of the program.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.keeps_rows = worker.context.transaction_log is not None or worker.context.log.keeps_rows
        self._connections: dict[int, ProgramConnection] = {}
        self.opened_in_all = 0
        """The number of connections in all iterations."""
        self.has_sent = False
        """Whether any of them has sent a request."""

    @property
    def connections(self) -> list[ProgramConnection]:
        """The connections of this iteration."""
        return list(self._connections.values())

    def forget(self) -> None:
        """Forget the connections, at the beginning of an iteration."""
        self._connections.clear()

    def opened(self, connection: ClientConnection) -> None:
        """See Observer."""
        self.opened_in_all += 1
        program = ProgramConnection(self._worker, connection, len(self._connections) + 1)
        self._connections[connection.number] = program
        self._worker.pid = connection.pid
        context = self._worker.context
        context.pids.add(connection.pid)
        context.coordinator.states.join(program.lane, connection.pid)
        context.coordinator.states.idle(program.lane, self._worker.place, "is connected")
        self._worker.coordinator.connected(program.lane)
        if context.network is not None:
            context.network.join(str(self._worker.actor), connection)

    async def before_request(self, connection: ClientConnection, request: Request) -> None:
        """See Observer."""
        self.has_sent = True
        await self._connections[connection.number].before(request)

    def after_request(
        self,
        connection: ClientConnection,
        request: Request,  # noqa: ARG002  # each connection has one at a time
        outcome: Outcome,
    ) -> None:
        """See Observer."""
        self._connections[connection.number].after(outcome)

    def cancelled(self, connection: ClientConnection) -> None:  # noqa: ARG002  # recorded for the worker
        """See Observer."""
        self._worker.act("the program cancels its statement", self._worker.place)

    def notified(self, connection: ClientConnection, channel: str, payload: str) -> None:  # noqa: ARG002  # as above
        """See Observer."""
        actor = self._worker.actor
        row = Notification(actor.session, actor.worker, channel, payload, clock.now())
        self._worker.context.log.notifications.append(row)
        self._worker.act(f"received NOTIFY {channel}, '{payload}'", self._worker.place)

    def noticed(self, connection: ClientConnection, fields: Mapping[str, str]) -> None:  # noqa: ARG002  # as above
        """See Observer."""
        worker = self._worker
        worker.context.notices.receive(str(worker.actor), worker.place, cast("pq.abc.PGresult", NoticeFields(fields)))

    def closed(self, connection: ClientConnection, why: str) -> None:  # noqa: ARG002  # not shown to the program
        """See Observer."""
        if self._worker.context.network is not None:
            self._worker.context.network.leave(connection)
        self._connections[connection.number].closed()
