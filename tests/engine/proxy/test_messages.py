"""Streams of bytes are split into messages, wherever they are cut; what is no message is refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgchaos.engine.proxy.messages import BACKEND, COPY_DATA, FRONTEND, ROW, ProtocolError, Splitter, message
from pgchaos.engine.proxy.requests import RequestAssembler
from pgchaos.engine.proxy.startup import packet_length, read_packet
from pgchaos.engine.proxy.tracker import RequestTracker

STREAMED = {ROW, COPY_DATA}


def kinds(limits: Sequence[int]) -> st.SearchStrategy[bytes]:
    one = st.tuples(st.sampled_from(sorted(limits)), st.binary(max_size=40))
    return st.lists(one.map(lambda pair: message(bytes([pair[0]]), pair[1])), max_size=12).map(b"".join)


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


def whole(data: bytes) -> list[tuple[int, bytes]]:
    """Split what is whole messages, simply; what is streamed is joined to what is like it before it."""
    found: list[tuple[int, bytes]] = []
    while data:
        size = 1 + int.from_bytes(data[1:5], "big")
        if found and found[-1][0] == data[0] and data[0] in STREAMED:
            found[-1] = (data[0], found[-1][1] + data[:size])
        else:
            found.append((data[0], data[:size]))
        data = data[size:]
    return found


def joined(messages: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for kind, raw in messages:
        if found and found[-1][0] == kind and kind in STREAMED:
            found[-1] = (kind, found[-1][1] + raw)
        else:
            found.append((kind, raw))
    return found


@pytest.mark.parametrize("limits", [FRONTEND, BACKEND], ids=["frontend", "backend"])
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_messages_are_found_wherever_the_stream_is_cut(limits: dict[int, int], data: st.DataObject) -> None:
    stream = data.draw(kinds(list(limits)))
    splitter = Splitter(limits)
    found = [one for chunk in chunks(stream, data.draw(st.lists(st.integers(0, 500)))) for one in splitter.feed(chunk)]
    assert joined(found) == whole(stream)


@given(st.binary(max_size=120), st.lists(st.integers(0, 120)), st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_are_messages_or_an_error(junk: bytes, cuts: list[int], before: bytes) -> None:
    """Nothing else is raised by any of those who read them, and none of the bytes is lost."""
    for limits in (FRONTEND, BACKEND):
        splitter, assembler = Splitter(limits), RequestAssembler()
        tracker = RequestTracker(assembler)
        stream = message(b"Q", before + b"\0") + junk if limits is FRONTEND else junk
        out = b""
        try:
            for chunk in chunks(stream, cuts):
                messages = splitter.feed(chunk)
                if limits is BACKEND:
                    tracker.received(messages)
                    continue
                for kind, raw in messages:
                    for unit in assembler.add(kind, raw):
                        out += unit.data
                        tracker.sent(unit)
                        assert unit.request is None or (unit.request.sql, unit.request.parameters) is not None
        except ProtocolError:  # the stream is drawn: it may break the protocol
            continue
        out += b"".join(unit.data for unit in assembler.flush())
        assert stream.startswith(out)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"?\0\0\0\4", "invalid message type '?'"),
        (b"\x16\3\1\2\0", "invalid message type 0x16"),
        (b"Q\0\0\0\3", "invalid length 3 of a message of type 'Q'"),
        (b"Q\xff\xff\xff\xff", "invalid length 4,294,967,295 of a message of type 'Q'"),
        (b"S\0\0\x27\x11", "invalid length 10,001 of a message of type 'S'"),
        (b"d\0\0\0\4d\0\0\0\0", "invalid length 0 of a message of type 'd'"),
        (b"z", "invalid message type 'z'"),
    ],
)
def test_what_is_no_message_is_refused(raw: bytes, text: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        Splitter(FRONTEND).feed(raw)
    assert str(refused.value) == text


def test_a_huge_message_is_refused_before_it_has_come() -> None:
    assert Splitter(FRONTEND).feed(b"Q\x3f\xff\xff\xfe") == []  # of a gigabyte, as the server takes it
    with pytest.raises(ProtocolError):
        Splitter(FRONTEND).feed(b"Q\x40\0\0\0")


@given(st.binary(min_size=8, max_size=80))
@settings(max_examples=80, deadline=None)
def test_arbitrary_first_packets_are_read_or_refused(junk: bytes) -> None:
    for data in (junk, len(junk).to_bytes(4, "big") + junk[4:], len(junk).to_bytes(4, "big") + b"\0\3\0\0" + junk[8:]):
        with suppress(ProtocolError):  # it may refuse, but not fail otherwise
            if packet_length(data) == len(data):
                read_packet(data)
