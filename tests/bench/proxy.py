"""What the proxy costs: a round trip and rows through it, beside the same without it."""

from __future__ import annotations

import multiprocessing
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import quantiles

import psycopg

from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.loop import Loop
from pgchaos.engine.proxy.observer import Observer
from pgchaos.engine.proxy.proxy import Proxy
from pgchaos.engine.proxy.upstream import ServerOpener
from pgchaos.engine.waits import Wait
from pgchaos.server import Sandbox, ServerSettings, open_server
from pgchaos.stop import Stop
from tests.bench.measure import Line, alone, compared

TRIPS = 5_000
ROWS = 200_000
Client = psycopg.Connection[tuple[object, ...]]


def proxied(_: Path) -> Iterator[Line]:
    """Measure clients of a proxy in a process of its own, with an observer that hears of each request."""
    with open_server(ServerSettings()) as server, server.sandbox() as sandbox, _serving(sandbox) as ways:
        direct = psycopg.connect(sandbox.conninfo, autocommit=True)
        unix, tcp = (psycopg.connect(way, autocommit=True) for way in ways)
        for what, through in (("its Unix socket", unix), ("127.0.0.1", tcp)):
            yield alone(
                f"a round trip of SELECT 1 through the proxy, over {what}, beyond one without it: by the quartile of"
                f" {TRIPS:,} each",
                partial(_beyond, through, direct),
                "µs",
                under=60,
            )
        yield alone(f"{ROWS:,} rows through the proxy", lambda: _rows(unix), "rows/s", over=50_000)
        yield alone(f"{ROWS:,} rows copied in through the proxy", lambda: _copied(unix), "rows/s", over=50_000)
        yield compared(f"{ROWS:,} rows through the proxy, and without it", lambda: _rows(unix), lambda: _rows(direct),
                       "rows/s")  # fmt: skip
        for connection in (direct, unix, tcp):
            connection.close()


@contextmanager
def _serving(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Have another process serve clients; gives how to connect, over its Unix socket and over 127.0.0.1."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=_serve, args=(sandbox, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join()


def _serve(sandbox: Sandbox, pipe: Pipe) -> None:
    stop = Stop()
    opener = ServerOpener(ConnectionFactory(sandbox), "bench", stop, {})
    proxy = Proxy(opener, "postgres", sandbox.database, Observer())
    pipe.send((proxy.conninfo(str(proxy.folder)), proxy.conninfo()))

    async def main() -> None:
        proxy.start()
        await Wait(pipe.fileno(), select.POLLIN)
        await proxy.pause()

    Loop().run(main())
    proxy.close()


def _beyond(through: Client, direct: Client) -> float:
    """Give the microseconds that a round trip takes longer, by the lower quartiles of both.

    Where other programs want the processors too, the slower ones tell how long three processes wait for one of them.
    """
    return quantiles(_trips(through), n=4)[0] - quantiles(_trips(direct), n=4)[0]


def _trips(connection: Client) -> list[float]:
    taken = []
    for _ in range(TRIPS):
        begun = time.perf_counter()
        connection.pgconn.exec_(b"SELECT 1")
        taken.append((time.perf_counter() - begun) * 1e6)
    return taken


def _rows(connection: Client) -> float:
    begun = time.perf_counter()
    connection.pgconn.exec_(b"SELECT g, 'some text' FROM generate_series(1, %d) AS g" % ROWS)
    return ROWS / (time.perf_counter() - begun)


def _copied(connection: Client) -> float:
    connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS copied (a int, b text)")
    begun, lines = time.perf_counter(), b"12345\tsome text\n" * 100
    with connection.cursor().copy("COPY copied FROM STDIN") as copy:
        for _ in range(ROWS // 100):
            copy.write(lines)
    return ROWS / (time.perf_counter() - begun)
