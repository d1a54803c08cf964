"""Tracks the outstanding requests of a connection, and the server's answer to each. Pure.

The server answers in order. After an error it skips all up to the next Sync (PostgreSQL docs, "Pipelining").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct, error

from pgchaos.engine.answer import LOST, SUCCESS, rows_in
from pgchaos.engine.proxy.messages import (
    COMPLETE,
    COPY_BOTH,
    COPY_IN,
    EMPTY,
    ERROR,
    FUNCTION_RESULT,
    HEADER,
    NOTICE,
    NOTIFICATION,
    PARAMETERS,
    READY,
    STATUS,
    SUSPENDED,
    Message,
    ProtocolError,
    error_fields,
    text_at,
)
from pgchaos.engine.proxy.requests import Request, RequestAssembler, Unit
from pgchaos.engine.proxy.rows import PartialResult, ResultRows
from pgchaos.server_text import decoded

SKIPPED = "25P02"
"""in_failed_sql_transaction, for requests that the server skips in a pipeline without an answer."""
_INT16, _INT32 = Struct("!h"), Struct("!I")
_CODECS: Mapping[str, str] = {"LATIN1": "latin-1", "LATIN9": "iso8859-15", "WIN1252": "cp1252", "WIN1251": "cp1251"}


@dataclass(slots=True, eq=False)
class Outcome:
    """The outcome of a request."""

    sqlstate: str = SUCCESS  # 08006: the connection was lost without a message of the server
    message: str = ""  # of the error
    fields: Mapping[str, str] = field(default_factory=dict)  # of the error, by their letters (D detail, H hint …)
    tags: list[str] = field(default_factory=list)  # of its statements, such as 'UPDATE 1'
    results: list[ResultRows] = field(default_factory=list)  # of its statements, if the observer keeps rows
    # the transaction status after it: 'I' idle, 'T' in a block, 'E' in a failed block; '': unknown, because the Sync
    # was not sent with the request, or the connection was lost
    status: str = ""
    skipped: bool = False  # the server did not run it, because an earlier request in the pipeline failed
    lost: bool = False  # the connection was lost before the whole answer came

    @property
    def tag(self) -> str:
        """The tag of its last statement, or ''."""
        return self.tags[-1] if self.tags else ""

    @property
    def rows(self) -> int | None:
        """Rows that the last statement returned or affected; None if its tag has no number."""
        return rows_in(self.tag)


Ended = tuple[Request, Outcome]


class RequestTracker:
    """Tracks one connection.

    Args:
        assembler: of the same client.
    """

    def __init__(self, assembler: RequestAssembler) -> None:
        self._assembler = assembler
        self._outstanding: deque[tuple[Request | None, Outcome, bool]] = deque()
        # request, None: a Sync alone; outcome; whether the client has ended its COPY before the server began it
        self._failed = False
        self.status = "I"
        """The transaction status that the server reported last; '' in a pipeline, where it reports none."""
        self.parameters: dict[str, str] = {}
        """The settings that the server has reported."""
        self.notices: list[Mapping[str, str]] = []
        self.notifications: list[tuple[str, str]] = []
        """Channel and payload; the caller removes them."""
        self._streams = False  # a replication stream is passing, which is not an answer to a request
        self.keeps_rows = False
        """Outcomes have the rows of their statements."""
        self._rows = PartialResult()
        self.fatal_error: Mapping[str, str] | None = None
        """The error with which the server ended the connection."""

    @property
    def outstanding(self) -> list[Request]:
        """The requests that are not completely answered, in order."""
        return [request for request, _, _ in self._outstanding if request is not None]

    @property
    def is_idle(self) -> bool:
        """Whether the server has answered all requests."""
        return not self._outstanding

    def sent(self, unit: Unit) -> list[Ended]:
        """Record that a unit is sent to the server.

        Returns:
            Its request, if the server will skip it because an earlier one in the pipeline has failed.
        """
        request = unit.request
        if request is not None and request.kind == "execute" and not request.synced:
            self.status = ""
            if self._failed and not self._outstanding:
                return [(request, Outcome(SKIPPED, skipped=True))]
        if request is not None:
            self._outstanding.append((request, Outcome(), False))
        elif unit.syncs:
            last = self._outstanding[-1] if self._outstanding else None
            if last is not None and last[0] is not None and last[0].kind == "execute" and last[2]:
                last[0].synced = True
                return []
            self._outstanding.append((None, Outcome(), False))
        elif unit.copy and self._outstanding:
            request, outcome, _ = self._outstanding[-1]
            if request is None and len(self._outstanding) > 1:  # a Sync before it, which the server will ignore
                self._outstanding.pop()
                request, outcome, _ = self._outstanding[-1]
            self._outstanding[-1] = request, outcome, True
        return []

    def received(self, messages: list[Message]) -> list[Ended]:
        """Process messages of the server.

        Args:
            messages: in order.

        Returns:
            The requests that they end.

        Raises:
            ProtocolError: one is malformed.
        """
        ended: list[Ended] = []
        for kind, raw in messages:
            if self._streams and kind not in _ANY_TIME:
                self._in_stream(kind, raw)
            elif kind == COMPLETE:
                self._complete(decoded(raw[HEADER:-1]), ended)
            elif kind == READY:
                self._ready(chr(raw[HEADER]) if len(raw) > HEADER else "I", ended)
            elif kind in _HANDLED:
                self._other(kind, raw, ended)
            elif self.keeps_rows:
                self._rows.add(kind, raw)
        return ended

    def lost(self) -> list[Ended]:
        """Record the end of the connection; return the outstanding requests."""
        fatal_error = self.fatal_error or {}
        ended = []
        for request, outcome, _ in self._outstanding:
            if request is None:
                continue
            outcome.lost = True
            if outcome.sqlstate == SUCCESS:
                outcome.sqlstate = fatal_error.get("C") or LOST
                outcome.message = fatal_error.get("M") or "the connection was lost"
            ended.append((request, outcome))
        self._outstanding.clear()
        return ended

    def _complete(self, tag: str, ended: list[Ended]) -> None:
        if not self._outstanding:
            return
        request, outcome, _ = self._outstanding[0]
        if request is None:
            return
        if tag:
            outcome.tags.append(tag)
        if tag and self.keeps_rows:
            outcome.results.append(self._rows.take(tag, request.portal))
        if request.kind == "execute" and not request.synced:
            self._outstanding.popleft()
            ended.append((request, outcome))

    def _ready(self, status: str, ended: list[Ended]) -> None:
        failed, self.status, self._failed = self._failed, status, False
        while self._outstanding:
            request, outcome, _ = self._outstanding.popleft()
            if request is None:
                return
            last = request.kind != "execute" or request.synced
            if failed and outcome.sqlstate == SUCCESS and request.kind == "execute":
                outcome.skipped, outcome.sqlstate = True, SKIPPED
            if last:
                outcome.status = status
            ended.append((request, outcome))
            if last:
                return

    def _other(self, kind: int, raw: bytes, ended: list[Ended]) -> None:
        if kind == ERROR:
            self._error(error_fields(raw), ended)
        elif kind in (EMPTY, SUSPENDED, FUNCTION_RESULT):
            self._complete("", ended)
        elif kind == COPY_IN:
            self._begin_copy()
        elif kind == COPY_BOTH:
            self._begin_stream(ended)
        elif kind == STATUS:
            name, at = text_at(raw, HEADER)
            value, _ = text_at(raw, at)
            self._set_parameter(decoded(name), decoded(value))
        elif kind == NOTIFICATION:
            channel, at = text_at(raw, HEADER + 4)
            payload, _ = text_at(raw, at)
            self.notifications.append((decoded(channel), decoded(payload)))
        elif kind == NOTICE:
            self.notices.append(error_fields(raw))
        else:
            self._describe(raw)

    def _set_parameter(self, name: str, value: str) -> None:
        self.parameters[name] = value
        if name == "client_encoding":
            self._assembler.encoding = _CODECS.get(value, "utf-8")

    def _error(self, fields: Mapping[str, str], ended: list[Ended]) -> None:
        self._assembler.copying = False
        self._assembler.described.clear()
        self._rows = PartialResult()
        if fields.get("V", fields.get("S")) in _FATAL:
            self.fatal_error = fields
            return
        request, outcome, _ = self._outstanding[0] if self._outstanding else (None, Outcome(), False)
        if request is None:
            self._failed = True
            return
        outcome.sqlstate, outcome.message, outcome.fields = fields.get("C", LOST), fields.get("M", ""), fields
        if request.kind == "execute":
            self._skip(ended)

    def _skip(self, ended: list[Ended]) -> None:
        """End the failed request, and those up to the Sync, which the server will skip."""
        self._failed = True
        first = True
        while self._outstanding:
            request, outcome, _ = self._outstanding[0]
            if request is None or request.kind != "execute":
                return
            if not first:
                outcome.skipped, outcome.sqlstate = True, SKIPPED
            if request.synced:
                return
            first = False
            self._outstanding.popleft()
            ended.append((request, outcome))

    def _begin_copy(self) -> None:
        """Record that the server reads data from now on, and ignores each Sync before its end."""
        if not self._outstanding:
            return
        request, outcome, done = self._outstanding[0]
        if request is None or request.kind != "execute":
            self._assembler.copying = request is not None and not done
            return
        self._assembler.copying = not done
        if not done:
            request.synced = False
            self._outstanding[0] = request, outcome, True
        if len(self._outstanding) > 1 and self._outstanding[1][0] is None:
            del self._outstanding[1]
            request.synced = done

    def _begin_stream(self, ended: list[Ended]) -> None:
        """End the request that began a replication stream, which lasts until ReadyForQuery."""
        self._streams = self._assembler.copying = True
        if self._outstanding:
            request, outcome, _ = self._outstanding.popleft()
            outcome.status = self.status
            if request is not None:
                ended.append((request, outcome))

    def _in_stream(self, kind: int, raw: bytes) -> None:
        """Process a message of a stream; its reader handles an error that ends it."""
        if kind == ERROR:
            fields = error_fields(raw)
            self._assembler.copying = False
            if fields.get("V", fields.get("S")) in _FATAL:
                self.fatal_error = fields
        elif kind == READY:
            self._streams = self._assembler.copying = False

    def _describe(self, raw: bytes) -> None:
        """Record the parameter types that the server has chosen for a statement."""
        if not self._assembler.described:
            return
        statement = self._assembler.statements.get(self._assembler.described.pop(0))
        try:
            (number,) = _INT16.unpack_from(raw, HEADER)
            types = tuple(_INT32.unpack_from(raw, HEADER + 2 + 4 * one)[0] for one in range(number))
        except error:
            raise ProtocolError("a ParameterDescription message ends too soon") from None
        if statement is not None:
            statement.types = types
            self._rows.describing = statement


_FATAL = ("FATAL", "PANIC")
_ANY_TIME = frozenset({STATUS, NOTIFICATION, NOTICE})
_HANDLED = frozenset(
    {ERROR, EMPTY, SUSPENDED, FUNCTION_RESULT, COPY_IN, COPY_BOTH, STATUS, NOTIFICATION, NOTICE, PARAMETERS}
)
