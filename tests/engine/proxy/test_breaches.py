"""Clients that break the protocol, at any point: their connection ends with a message, and nothing else does."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from functools import partial

import psycopg
import pytest

from pgchaos.engine.proxy.messages import message
from pgchaos.engine.proxy.proxy import Proxy
from tests.engine.proxy.conftest import OpenProxy, serve

STARTUP = b"\0\3\0\0user\0postgres\0database\0{}\0\0"
BREACHES = (b"?", b"Q\0\0\0\3", b"Q\xff\xff\xff\xff", message(b"P", b"s"), message(b"E"))


def sent(proxy: Proxy, *parts: bytes) -> bytes:
    """Send something, and give all that comes back until the other side ends it."""
    heard = b""
    with socket.create_connection((proxy.host, proxy.port), timeout=30) as client:
        try:
            for part in parts:
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                heard += chunk
        except (ConnectionResetError, BrokenPipeError):  # the proxy may close the connection before all is sent
            pass
    return heard


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([b"\x16\3\1\2\0\1\0\1\xfc"], "sslnegotiation=postgres"),
        ([b"\0\0\0\4"], "invalid length 4 of a startup packet"),
        ([b"\x7f\xff\xff\xff\0\3\0\0"], "invalid length 2,147,483,647 of a startup packet"),
        ([b"\0\0\0\x08\0\2\0\0"], "unsupported frontend protocol 2.0"),
        ([b"\0\0\0\x0d\0\3\0\0user\0"], "expected terminator as last byte"),
        ([b"\0\0\0\x08\4\xd2\x16\x2f", b"\0\0\0\x08\4\xd2\x16\x2f"], "asks for TLS a second time"),
        ([b"GET / HTTP/1.1\r\n"], "invalid length 1,195,725,856 of a startup packet"),
    ],
)
def test_what_begins_no_connection_is_refused(open_proxy: OpenProxy, parts: list[bytes], text: str) -> None:
    with open_proxy() as proxy:
        heard = serve(proxy, lambda: sent(proxy, *parts))
        assert text in heard.decode("utf-8", "replace")
        assert [text in told for told in proxy.broken] == [True]


def test_one_client_s_breach_is_no_other_s(open_proxy: OpenProxy) -> None:
    """Random bytes in place of messages, by clients that are let in, beside one that goes on."""
    source = random.Random(7)

    def client() -> int:
        answered = 0
        with psycopg.connect(proxy.conninfo(), autocommit=True) as sound:
            for number in range(12):
                broken = psycopg.connect(proxy.conninfo(), autocommit=True)
                junk = source.choice(BREACHES)
                with socket.socket(fileno=broken.fileno()) as raw:
                    raw.sendall(junk + source.randbytes(number))
                    raw.detach()
                with pytest.raises(psycopg.OperationalError):
                    broken.execute("SELECT 1")
                answered += int(sound.execute("SELECT 1").fetchone() == (1,))
        return answered

    with open_proxy() as proxy:
        assert serve(proxy, client) == 12
        assert len(proxy.broken) == 12
        assert all("the client broke the protocol" in text for text in proxy.broken)


def test_many_who_break_the_protocol_are_counted_no_further(open_proxy: OpenProxy) -> None:
    with open_proxy() as proxy:
        for number in range(30):
            # the length of a startup packet, which no client may send
            serve(proxy, partial(sent, proxy, (1_000_000 + number).to_bytes(4, "big")))
        assert len(proxy.broken) == 21
        assert proxy.broken[-1] == "more clients broke the protocol"


def test_a_password_is_asked_for_and_none_is_guessed(open_proxy: OpenProxy) -> None:
    with open_proxy() as proxy:
        packet = STARTUP.replace(b"{}", proxy._database.encode())  # what only the run knows
        whole = (len(packet) + 4).to_bytes(4, "big") + packet
        wrong = message(b"p", b"SCRAM-SHA-256\0\0\0\0\x08n,,n=,r=")
        for parts, text in (
            ((whole, message(b"Q", b"SELECT 1\0")), "expected SASL response"),
            ((whole, message(b"p", b"MD5\0\0\0\0\0")), "invalid SASL authentication mechanism"),
            ((whole, wrong), "malformed SCRAM message"),
        ):
            heard = serve(proxy, partial(sent, proxy, *parts))
            assert b"SCRAM-SHA-256" in heard
            assert text in heard.decode("utf-8", "replace")


FULL = """
import os, resource, socket, sys, time
from pgchaos.engine.loop import Loop
from pgchaos.engine.proxy.proxy import Proxy
from pgchaos.engine.waits import sleep

async def main():
    proxy, client = Proxy(None, "u", "d"), socket.socket()
    client.settimeout(30)
    proxy.start()
    await sleep(0.01)
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    client.connect((proxy.host, proxy.port))
    began = time.process_time()
    for _ in range(20):
        await sleep(0.02)
    busy = time.process_time() - began
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    client.sendall(b"\\0\\0\\0\\x08\\0\\2\\0\\0")
    client.setblocking(False)
    until = time.monotonic() + 30
    while len(proxy.broken) < 2 and time.monotonic() < until:
        await sleep(0.01)
    await proxy.pause()
    proxy.close()
    print(*proxy.broken, f"idle: {busy < 0.1}", sep="\\n")

Loop().run(main())
"""


def test_who_cannot_connect_waits_and_that_is_reported() -> None:
    """In a process of its own, which has no descriptor left for a while: the proxy does not try without a pause."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [
        "a client could not be accepted: Too many open files",
        "a client broke the protocol: unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
        "idle: True",
    ], done.stderr
