"""A client's messages are grouped into requests, and the server's answers are their outcomes, without a connection."""

from __future__ import annotations

from struct import pack

import pytest

from pgchaos.engine.proxy.messages import BACKEND, FRONTEND, Splitter, error_message, message
from pgchaos.engine.proxy.requests import Request, RequestAssembler, Unit
from pgchaos.engine.proxy.tracker import Ended, RequestTracker
from pgchaos.engine.proxy.values import shown

PARSE, DESCRIBE = message(b"P", b"s\0SELECT $1\0\0\1\0\0\0\x17"), message(b"D", b"Ss\0")
SYNC, FLUSH = message(b"S"), message(b"H")
BIND = message(b"B", b"\0s\0\0\1\0\1\0\1\0\0\0\4\0\0\0\7\0\0")
EXECUTE = message(b"E", b"\0\0\0\0\0")
COPY_DATA, COPY_DONE, COPY_FAIL = message(b"d", b"1\n"), message(b"c"), message(b"f", b"no\0")
COMPLETE, READY, IN_BLOCK = message(b"C", b"SELECT 3\0"), message(b"Z", b"I"), message(b"Z", b"T")
QUERY, ROW = message(b"Q", b"SELECT 1\0"), message(b"D", pack("!hi", 1, 1) + b"5")
COPY_IN, ERROR = message(b"G", b"\0\0\0"), error_message("22012", "division by zero", "ERROR")


class Wire:
    """A client and a server, as the proxy sees them."""

    def __init__(self) -> None:
        self.assembler = RequestAssembler()
        self.tracker = RequestTracker(self.assembler)
        self._client, self._server = Splitter(FRONTEND), Splitter(BACKEND)
        self.skipped: dict[Unit, list[Ended]] = {}

    def client(self, *messages: bytes) -> list[Unit]:
        found = [self.assembler.add(kind, raw) for kind, raw in self._client.feed(b"".join(messages))]
        units = [unit for some in found for unit in some]
        for unit in units:
            self.skipped[unit] = self.tracker.sent(unit)
        return units

    def server(self, *messages: bytes) -> list[Ended]:
        return self.tracker.received(self._server.feed(b"".join(messages)))


def requests(units: list[Unit]) -> list[Request]:
    return [unit.request for unit in units if unit.request is not None]


def told(ended: list[Ended]) -> list[tuple[str, str, str, bool]]:
    return [(o.sqlstate, o.tag, o.status, o.skipped) for _, o in ended]


def test_an_execute_is_a_request_with_what_belongs_to_it() -> None:
    wire = Wire()
    assert requests(wire.client(PARSE, DESCRIBE, FLUSH)) == []
    assert wire.client(BIND, EXECUTE) == [], "it is not known yet whether its Sync follows"
    (unit,) = wire.client(SYNC)
    assert unit.data == BIND + EXECUTE + SYNC
    assert unit.request is not None
    assert (unit.request.sql, unit.request.parameters, unit.request.synced) == ("SELECT $1", ("7",), True)
    assert told(wire.server(COMPLETE)) == []
    assert told(wire.server(IN_BLOCK)) == [("00000", "SELECT 3", "T", False)]
    assert wire.tracker.is_idle


def test_what_only_prepares_is_no_request() -> None:
    wire = Wire()
    assert requests(wire.client(PARSE, DESCRIBE, SYNC)) == []
    assert not wire.tracker.is_idle
    assert wire.server(message(b"1"), message(b"t", pack("!hI", 1, 1700)), message(b"n"), READY) == []
    assert wire.tracker.is_idle
    # by the server's description of the statement: a numeric
    value = message(b"B", b"\0s\0\0\1\0\1\0\1\0\0\0\x0c" + pack("!HhHHhh", 2, 0, 0, 2, 12, 5000) + b"\0\0")
    (request,) = requests(wire.client(value, EXECUTE, SYNC))
    assert request.parameters == ("12.50",)


def test_after_an_error_the_rest_of_a_pipeline_is_skipped() -> None:
    wire = Wire()
    units = wire.client(BIND, EXECUTE, BIND, EXECUTE, BIND, EXECUTE, SYNC)
    assert [(r.pipelined, r.synced) for r in requests(units)] == [(True, False), (True, False), (False, True)]
    assert told(wire.server(COMPLETE, ERROR)) == [
        ("00000", "SELECT 3", "", False),
        ("22012", "", "", False),
    ]
    assert told(wire.server(READY)) == [("25P02", "", "I", True)]


def test_what_is_sent_into_a_failed_pipeline_is_skipped_at_once() -> None:
    wire = Wire()
    wire.client(BIND, EXECUTE, BIND)
    assert told(wire.server(ERROR)) == [("22012", "", "", False)]
    first, second = wire.client(EXECUTE, BIND, EXECUTE, BIND, EXECUTE)
    assert [told(wire.skipped[unit]) for unit in (first, second)] == [[("25P02", "", "", True)]] * 2
    assert wire.tracker.is_idle
    # the last comes with the Sync, and its answer is that to the Sync
    (last,) = wire.client(SYNC)
    assert (wire.skipped[last], wire.tracker.is_idle) == ([], False)
    # what follows the Sync is not skipped, though the server has not come so far
    (after,) = requests(wire.client(BIND, EXECUTE, FLUSH))
    assert [request.number for request in wire.tracker.outstanding] == [4, after.number]
    assert told(wire.server(READY, COMPLETE)) == [("25P02", "", "I", True), ("00000", "SELECT 3", "", False)]


def test_a_pipeline_whose_preparation_failed_is_skipped_at_once() -> None:
    wire = Wire()
    wire.client(PARSE, DESCRIBE, FLUSH)
    assert wire.server(ERROR) == []
    (unit,) = wire.client(BIND, EXECUTE, FLUSH)
    assert told(wire.skipped[unit]) == [("25P02", "", "", True)]
    wire.client(SYNC)
    assert wire.server(READY) == []
    (unit,) = wire.client(BIND, EXECUTE, FLUSH)
    assert wire.skipped[unit] == []
    assert told(wire.server(COMPLETE)) == [("00000", "SELECT 3", "", False)]


def test_rows_before_an_error_belong_to_no_other_result() -> None:
    wire = Wire()
    wire.tracker.keeps_rows = True
    wire.client(QUERY)
    wire.server(ROW, ROW, ERROR, READY)
    wire.client(QUERY)
    ((_, outcome),) = wire.server(ROW, COMPLETE, READY)
    (result,) = outcome.results
    assert list(result.rows(())) == [("5",)]


@pytest.mark.parametrize("early", [False, True], ids=["in turn", "the client does not wait"])
@pytest.mark.parametrize(("end", "state"), [(COPY_DONE, "00000"), (COPY_FAIL, "22012")])
def test_a_sync_in_a_copy_is_ignored_as_the_server_does(early: bool, end: bytes, state: str) -> None:
    wire = Wire()
    (request,) = requests(wire.client(BIND, EXECUTE, SYNC))
    sends = COPY_DATA, SYNC, COPY_DATA, end, SYNC
    if early:
        wire.client(*sends)
    assert wire.server(COPY_IN) == []
    if not early:
        wire.client(*sends)
    answer = message(b"C", b"COPY 2\0") if end == COPY_DONE else ERROR
    ended = [*wire.server(answer), *wire.server(READY)]
    assert [(one, outcome.sqlstate) for one, outcome in ended] == [(request, state)]
    assert wire.tracker.is_idle
    (after,) = requests(wire.client(QUERY))
    assert wire.server(COMPLETE, READY)[0][0] is after


def test_a_replication_stream_is_no_answer_to_a_request() -> None:
    wire = Wire()
    wire.tracker.keeps_rows = True
    (begins,) = requests(wire.client(message(b"Q", b"START_REPLICATION 0/0\0")))
    ((request, outcome),) = wire.server(message(b"W", b"\0\0\0"))
    assert (request, outcome.sqlstate, outcome.status) == (begins, "00000", "I")
    assert wire.server(COPY_DATA, COPY_DATA) == []
    assert wire.tracker.is_idle
    # the client ends the stream, and asks for more before the server has heard of it
    (after,) = requests(wire.client(COPY_DATA, COPY_DONE, QUERY))
    assert wire.server(COPY_DATA, COPY_DONE, ROW, COMPLETE, COMPLETE, READY) == []
    ((request, outcome),) = wire.server(ROW, COMPLETE, READY)
    assert (request, outcome.tags, outcome.status) == (after, ["SELECT 3"], "I")
    assert list(outcome.results[0].rows(())) == [("5",)]


@pytest.mark.parametrize("severity", ["ERROR", "FATAL"])
def test_an_error_ends_a_replication_stream(severity: str) -> None:
    wire = Wire()
    wire.client(message(b"Q", b"START_REPLICATION 0/0\0"))
    wire.server(message(b"W", b"\0\0\0"))
    assert wire.server(error_message("58P01", "segment has been removed", severity)) == []
    if severity == "FATAL":
        assert wire.tracker.fatal_error is not None
        return
    assert wire.server(READY) == []
    wire.client(QUERY)
    assert told(wire.server(COMPLETE, READY)) == [("00000", "SELECT 3", "I", False)]


def test_what_is_outstanding_is_lost_with_the_connection() -> None:
    wire = Wire()
    wire.client(message(b"Q", b"COMMIT\0"))
    assert told(wire.server(error_message("57P01", "terminating connection"))) == []
    (ended,) = wire.tracker.lost()
    assert (ended[1].sqlstate, ended[1].lost, ended[1].message) == ("57P01", True, "terminating connection")
    assert wire.tracker.lost() == []


@pytest.mark.parametrize(
    ("value", "oid", "text"),
    [
        (b"\1", 16, "true"),
        (pack("!q", -5), 20, "-5"),
        (pack("!d", 1.5), 701, "1.5"),
        (pack("!HhHH", 0, 0, 0xC000, 0), 1700, "NaN"),
        (pack("!HhHHhh", 2, 1, 0x4000, 0, 1, 2), 1700, "-10002"),
        (pack("!i", 8825), 1082, "2024-02-29"),
        (pack("!q", 1_500_000), 1114, "2000-01-01 00:00:01.500000"),
        (pack("!q", 0x7FFFFFFFFFFFFFFF), 1184, "infinity"),
        (bytes(16), 2950, "00000000-0000-0000-0000-000000000000"),
        (b'\1{"a": 1}', 3802, '{"a": 1}'),
        (pack("!iiIiiiii", 1, 1, 23, 2, 1, 4, 7, -1), 1007, "{7,NULL}"),
        (b"\0\1", 23, "\\x0001"),
        (b"", 16, "\\x"),
        (b"caf\xc3\xa9", 25, "café"),
        (b"x" * 100, 99999, "\\x" + "78" * 64 + "…"),
    ],
)
def test_binary_values_are_shown_as_text(value: bytes, oid: int, text: str) -> None:
    assert shown(value, oid, binary=True) == text
