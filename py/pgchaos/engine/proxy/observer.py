"""The interface by which the proxy reports its connections, and can hold their requests."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.engine.proxy.requests import Request
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.proxy.tracker import Outcome


class ClientConnection:
    """The view that observers have of a client's connection.

    Args:
        number: of the proxy, from 1.
        pid: of its backend; the client gets the same.
        startup: of the client.
    """

    def __init__(self, number: int, pid: int, startup: Startup) -> None:
        self.number, self.pid, self.startup = number, pid, startup
        self.ended = ""
        """Why it ended, or ''."""

    @property
    def status(self) -> str:
        """The transaction status: 'I' idle, 'T' in a block, 'E' in a failed block; '' within a pipeline."""
        raise NotImplementedError

    @property
    def is_cut_off(self) -> bool:
        """Whether the server has closed it; the proxy may not have processed that yet."""
        raise NotImplementedError

    @property
    def outstanding(self) -> list[Request]:
        """The requests that were sent and are not completely answered, in order."""
        raise NotImplementedError

    def end(self, why: str) -> None:
        """End it. Idempotent.

        Args:
            why: for reports.
        """
        raise NotImplementedError


class Observer:
    """Is called for all events of clients; a subclass overrides what it needs.

    The tasks of a connection call it in order, in the loop of the run. An exception is an internal error, and ends the
    run.
    """

    keeps_rows = False
    """Outcomes have the rows of their statements."""

    def opened(self, connection: ClientConnection) -> None:
        """Handle a new connection, before its client gets the answer.

        Args:
            connection: with `pid` and `startup`.
        """

    async def before_request(self, connection: ClientConnection, request: Request) -> None:
        """Handle a request before it is sent to the server; it is sent when this returns.

        Each request of a pipeline is answered before this is called for the next one.

        Args:
            connection: of the request. If `closed` is called meanwhile this must return; then nothing is sent.
            request: to send.
        """

    def after_request(self, connection: ClientConnection, request: Request, outcome: Outcome) -> None:
        """Handle the answer to a request, after it was sent to the client, or is known to be lost.

        Args:
            connection: of the request.
            request: that was sent.
            outcome: of the request.
        """

    def cancelled(self, connection: ClientConnection) -> None:
        """Handle a client's cancel request, before it is sent to the server.

        If the client's request is held, this is called when that is sent.

        Args:
            connection: to cancel.
        """

    def notified(self, connection: ClientConnection, channel: str, payload: str) -> None:
        """Handle a notification that the server sent to a client."""

    def noticed(self, connection: ClientConnection, fields: Mapping[str, str]) -> None:
        """Handle a notice.

        Args:
            connection: of the client.
            fields: by their letters: S severity, C SQLSTATE, M message.
        """

    def closed(self, connection: ClientConnection, why: str) -> None:
        """Handle the end of a connection.

        Args:
            connection: `after_request` was called for its outstanding requests.
            why: for reports, such as 'the client ended it'.
        """
