"""A proxy before a real server; clients run in a thread, as they are other programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

from pgchaos.engine.blocking import in_thread
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.loop import Loop
from pgchaos.engine.proxy.observer import Observer
from pgchaos.engine.proxy.proxy import Proxy
from pgchaos.engine.proxy.upstream import ServerOpener
from pgchaos.engine.waits import sleep
from pgchaos.server import Sandbox, Server
from pgchaos.stop import Stop

T = TypeVar("T")
OpenProxy = Callable[..., AbstractContextManager[Proxy]]


@pytest.fixture(scope="module")
def sandbox(private_server: Server) -> Iterator[Sandbox]:
    """A database for all tests of a module."""
    with private_server.sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def open_proxy(sandbox: Sandbox) -> OpenProxy:
    """Open a proxy, with an observer."""

    @contextmanager
    def opened(observer: Observer | None = None, **settings: str) -> Iterator[Proxy]:
        stop = Stop()
        opener = ServerOpener(ConnectionFactory(sandbox), "client", stop, settings)
        proxy = Proxy(opener, "postgres", sandbox.database, observer)
        try:
            yield proxy
        finally:
            proxy.close()
            stop.close()

    return opened


def serve(proxy: Proxy, client: Callable[[], T]) -> T:
    """Serve a client, which does its work in a thread, until it is done and has closed its connections."""

    async def main() -> T:
        proxy.start()
        try:
            done = await in_thread(client, "client")
            until = time.monotonic() + 30
            while proxy.connections and time.monotonic() < until:
                await sleep(0.001)  # polled: the end of a connection is not reported
            assert not proxy.connections
            return done
        finally:
            await proxy.pause()

    return Loop().run(main())
