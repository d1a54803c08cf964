"""What the proxy tells of its connections, and by which it can be held up."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.engine.proxy.requests import Request
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.proxy.tracker import Outcome


class ClientConnection:
    """A connection of a client, as observers see it.

    Args:
        number: of the proxy, from 1.
        pid: of its backend, which the client is told too.
        startup: what the client said of itself.
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
        """Whether the server has hung up, which may not have come to be its end here yet."""
        raise NotImplementedError

    @property
    def outstanding(self) -> list[Request]:
        """The requests that were sent and are not answered in full, in order."""
        raise NotImplementedError

    def end(self, why: str) -> None:
        """End it; doing so again does nothing.

        Args:
            why: for reports.
        """
        raise NotImplementedError


class Observer:
    """Hears of all that clients do; a subclass overrides what it needs.

    All of it is called in the loop of the run, by the tasks of the connection, and in order.
    An exception ends the run: it is an error of ours.
    """

    keeps_rows = False
    """Outcomes have the rows of their statements."""

    def opened(self, connection: ClientConnection) -> None:
        """Take a new connection, before its client hears that it is connected.

        Args:
            connection: its backend is `connection.pid`, what its client said of itself `connection.startup`.
        """

    async def before_request(self, connection: ClientConnection, request: Request) -> None:
        """Take a request that is about to be sent to the server; it is sent when this returns.

        Each request of a pipeline is answered before the next one comes here.

        Args:
            connection: whose. Where `closed` is called meanwhile this must return; then nothing is sent.
            request: what is asked.
        """

    def after_request(self, connection: ClientConnection, request: Request, outcome: Outcome) -> None:
        """Take the answer to a request, once it was sent to the client, or known to be lost.

        Args:
            connection: whose.
            request: that was sent.
            outcome: what became of it.
        """

    def cancelled(self, connection: ClientConnection) -> None:
        """Take a client's wish to cancel what runs on a connection; the server is asked then.

        Where the client wishes it while its request is held up, it comes when that is sent.

        Args:
            connection: on which it runs.
        """

    def notified(self, connection: ClientConnection, channel: str, payload: str) -> None:
        """Take a notification that the server sent to a client."""

    def noticed(self, connection: ClientConnection, fields: Mapping[str, str]) -> None:
        """Take a notice.

        Args:
            connection: whose.
            fields: by their letters: S severity, C SQLSTATE, M message.
        """

    def closed(self, connection: ClientConnection, why: str) -> None:
        """Take the end of a connection that was opened.

        Args:
            connection: whose outstanding requests have their outcome already.
            why: 'the client ended it', and the like; for reports.
        """
