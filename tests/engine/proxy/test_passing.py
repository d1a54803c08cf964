"""Through the proxy a client sends and receives the same as without it: psycopg, and libpq's own pipeline."""

from __future__ import annotations

import datetime
import os
import select
import socket
import threading
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from pgchaos.engine.connect import TIMED_OUT, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.proxy.messages import message
from pgchaos.engine.proxy.observer import ClientConnection, Observer
from pgchaos.engine.proxy.proxy import Proxy
from pgchaos.engine.proxy.requests import Request
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.proxy.tracker import Outcome
from pgchaos.engine.proxy.upstream import ServerConnection, ServerOpener
from pgchaos.engine.waits import Condition
from pgchaos.server import ServerSettings, open_server
from pgchaos.stop import Stop
from tests.conftest import ForeignServer
from tests.engine.proxy.conftest import OpenProxy, serve
from tests.waiting import until


class Log(Observer):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.ends: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.seen: set[int] = set()

    def after_request(self, connection: ClientConnection, request: Request, outcome: Outcome) -> None:
        self.seen.add(connection.number)
        self.heard.append((request.sql, request.parameters, outcome.sqlstate, outcome.tag, outcome.status))

    def cancelled(self, connection: ClientConnection) -> None:
        self.ends.append(f"cancelled {connection.number}")

    def notified(self, connection: ClientConnection, channel: str, payload: str) -> None:
        self.seen.add(connection.number)
        self.notes.append((channel, payload))

    def noticed(self, connection: ClientConnection, fields: Mapping[str, str]) -> None:
        self.seen.add(connection.number)
        self.notes.append((fields["C"], fields["M"]))

    def closed(self, connection: ClientConnection, why: str) -> None:
        self.seen.add(connection.number)
        self.ends.append(why)


def connect(proxy: Proxy, host: str = "", **parameters: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(make_conninfo(proxy.conninfo(host), **parameters), autocommit=True)


@pytest.mark.parametrize("host", ["", "folder"])
@pytest.mark.parametrize("protocol", ["3.0", "3.2"])
def test_each_request_is_reported_with_its_parameters_and_its_outcome(
    open_proxy: OpenProxy, host: str, protocol: str
) -> None:
    if protocol != "3.0" and pq.version() < 180000:
        pytest.skip("this libpq speaks 3.0 only")
    log = Log()

    def client() -> list[tuple[object, ...]]:
        at = str(folder) if folder else ""
        limits = {"min_protocol_version": protocol, "max_protocol_version": protocol} if protocol != "3.0" else {}
        with connect(proxy, at, **limits) as conn:
            conn.execute("SELECT 1; SELECT 2")
            conn.execute("BEGIN")
            conn.execute(
                "SELECT %s::numeric, %b::date, %b::int[]", [Decimal("-12.50"), datetime.date(2024, 2, 29), [7]]
            )
            with pytest.raises(psycopg.errors.DivisionByZero):
                conn.execute("SELECT 1 / %s", [0])
            conn.execute("ROLLBACK")
            return conn.execute("SELECT pg_backend_pid(), current_setting('application_name')").fetchall()

    with open_proxy(log) as proxy:
        folder = proxy.folder if host else None
        ((pid, name),) = serve(proxy, client)
        assert isinstance(pid, int)
        assert name == "client"
    assert log.heard[:-1] == [
        ("SELECT 1; SELECT 2", (), "00000", "SELECT 1", "I"),
        ("BEGIN", (), "00000", "BEGIN", "T"),
        ("SELECT $1::numeric, $2::date, $3::int[]", ("-12.50", "2024-02-29", "{7}"), "00000", "SELECT 1", "T"),
        ("SELECT 1 / $1", ("0",), "22012", "", "E"),
        ("ROLLBACK", (), "00000", "ROLLBACK", "I"),
    ]
    assert log.ends == ["the client ended it"]
    assert not proxy.broken
    assert not folder or not folder.exists()


def test_copies_pass_in_both_directions_by_both_protocols(open_proxy: OpenProxy) -> None:
    log, row = Log(), b"x" * 50_000 + b"\n"

    def client() -> None:
        with connect(proxy) as conn:
            conn.execute("CREATE TEMPORARY TABLE t (a text)")
            with conn.cursor().copy("COPY t FROM STDIN") as copy:
                for _ in range(40):
                    copy.write(row)
            with conn.cursor().copy("COPY t TO STDOUT") as copy:
                assert sum(len(data) for data in copy) == 40 * len(row)
            extended_copy(conn.pgconn)
            assert conn.execute("SELECT count(*) FROM t").fetchall() == [(41,)]

    with open_proxy(log) as proxy:
        serve(proxy, client)
    assert [(sql, tag, status) for sql, _, _, tag, status in log.heard[1:]] == [
        ("COPY t FROM STDIN", "COPY 40", "I"),
        ("COPY t TO STDOUT", "COPY 40", "I"),
        ("COPY t FROM STDIN", "COPY 1", "I"),
        ("COPY t FROM STDIN", "", "I"),
        ("SELECT count(*) FROM t", "SELECT 1", "I"),
    ]
    assert log.heard[4][2] == "57014"
    assert not proxy.broken


def extended_copy(pgconn: pq.abc.PGconn) -> None:
    """Copy by the extended protocol, where libpq sends a Sync that the server ignores, and one that fails."""
    for end in (None, b"no more"):
        pgconn.send_query_params(b"COPY t FROM STDIN", None)
        assert result(pgconn) == pq.ExecStatus.COPY_IN
        pgconn.put_copy_data(b"last\n")
        pgconn.put_copy_end(end)
        assert result(pgconn) == (pq.ExecStatus.FATAL_ERROR if end else pq.ExecStatus.COMMAND_OK)
        assert result(pgconn) is None


def result(pgconn: pq.abc.PGconn) -> int | None:
    # a call of libpq's that waits would hold the GIL, and the proxy is in this process
    while pgconn.is_busy():
        select.select([pgconn.socket], [], [], 30)
        pgconn.consume_input()
    got = pgconn.get_result()
    return None if got is None else got.status


@pytest.mark.parametrize("kind", ["true", "database"])
def test_a_replication_stream_passes(open_proxy: OpenProxy, kind: str) -> None:
    log = Log()

    def client() -> None:
        database = {} if kind == "database" else {"dbname": "replication"}  # as pg_receivewal has it
        with connect(proxy) as conn, connect(proxy, replication=kind, **database) as replication:
            stream = replication.pgconn
            conn.execute("CREATE TABLE IF NOT EXISTS written (id int)")
            ((begin,),) = conn.execute("SELECT pg_current_wal_flush_lsn()").fetchall()
            stream.send_query(f"START_REPLICATION PHYSICAL {begin}".encode())
            assert result(stream) == pq.ExecStatus.COPY_BOTH
            conn.execute("INSERT INTO written VALUES (1)")
            assert received(stream)[:1] == b"w", "the WAL of the INSERT"
            stream.put_copy_end()
            while received(stream):
                pass  # what was under way already
            while (ended := result(stream)) is not None:  # the server says it twice
                assert ended == pq.ExecStatus.COMMAND_OK
            stream.send_query(b"IDENTIFY_SYSTEM")
            assert result(stream) == pq.ExecStatus.TUPLES_OK
            assert result(stream) is None

    with open_proxy(log) as proxy:
        serve(proxy, client)
    told = [(str(sql).split()[0], state, status) for sql, _, state, _, status in log.heard]
    assert [one for one in told if one[0] in ("START_REPLICATION", "IDENTIFY_SYSTEM")] == [
        ("START_REPLICATION", "00000", "I"),
        ("IDENTIFY_SYSTEM", "00000", "I"),
    ]
    assert not proxy.broken


def test_a_replication_stream_passes_beside_a_database_of_the_user_s(foreign_server: ForeignServer) -> None:
    def client() -> list[int | None]:
        # there is no SQL by which a connection for all of the server could be asked for its settings
        with connect(proxy, replication="true") as replication:
            replication.pgconn.send_query(b"IDENTIFY_SYSTEM")
            return [result(replication.pgconn), result(replication.pgconn)]

    settings = ServerSettings(dsn=make_conninfo(foreign_server.dsn, dbname="postgres"), in_place=True)
    with open_server(settings) as server, server.sandbox() as sandbox, closing(Stop()) as stop:
        opener = ServerOpener(ConnectionFactory(sandbox), "client", stop, {"chaos.worker": "1"})
        with closing(Proxy(opener, "postgres", "postgres")) as proxy:
            assert serve(proxy, client) == [pq.ExecStatus.TUPLES_OK, None]


def test_a_client_may_write_settings_as_it_likes_beside_a_database_of_the_user_s(foreign_server: ForeignServer) -> None:
    def client() -> tuple[object, ...] | None:
        # as asyncpg and JDBC do: the server says UTF8, and ISO, MDY
        with connect(proxy, client_encoding="utf-8", options="-c datestyle=iso") as conn:
            query = "SELECT current_setting('client_encoding'), current_setting('datestyle')"
            return conn.execute(query).fetchone()

    settings = ServerSettings(dsn=make_conninfo(foreign_server.dsn, dbname="postgres"), in_place=True)
    with open_server(settings) as server, server.sandbox() as sandbox, closing(Stop()) as stop:
        opener = ServerOpener(ConnectionFactory(sandbox), "client", stop, {"chaos.worker": "1"})
        with closing(Proxy(opener, "postgres", "postgres")) as proxy:
            assert serve(proxy, client) == ("UTF8", "ISO, MDY")


def received(pgconn: pq.abc.PGconn) -> bytes:
    """Wait for a message of a stream; of its end, b''."""
    while True:
        length, data = pgconn.get_copy_data(1)
        if length:
            return bytes(data)
        select.select([pgconn.socket], [], [], 30)
        pgconn.consume_input()


def test_a_pipeline_is_one_request_for_each_execute(open_proxy: OpenProxy) -> None:
    log = Log()

    def client() -> None:
        with connect(proxy) as conn:
            with pytest.raises(psycopg.errors.DivisionByZero):
                divide(conn)
            assert conn.execute("SELECT 1").fetchall() == [(1,)]

    def divide(conn: psycopg.Connection[tuple[object, ...]]) -> None:
        with conn.pipeline():
            for divisor in (1, 0, 2):
                conn.execute("SELECT 6 / %s::int", [divisor], prepare=True)

    with open_proxy(log) as proxy:
        serve(proxy, client)
    told = [(parameters, state, status) for _, parameters, state, _, status in log.heard]
    assert told[:3] == [(("1",), "00000", ""), (("0",), "22012", ""), (("2",), "25P02", "I")]


def test_cancels_notices_and_notifications_are_passed_on(open_proxy: OpenProxy) -> None:
    log = Log()

    def client() -> None:
        with connect(proxy) as conn:
            conn.execute("LISTEN news")
            conn.execute("DO $$ BEGIN RAISE WARNING 'careful'; END $$")
            conn.execute("NOTIFY news, 'here'")
            assert [note.payload for note in conn.notifies(stop_after=1)] == ["here"]
            over = threading.Event()
            asking = threading.Thread(target=asks, args=(conn, over))
            asking.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                conn.execute("SELECT pg_sleep(60)")
            over.set()
            asking.join()

    def asks(conn: psycopg.Connection[tuple[object, ...]], over: threading.Event) -> None:
        # a cancel that comes before the statement runs is ignored
        while not over.wait(0.05):
            conn.cancel_safe()

    with open_proxy(log) as proxy:
        serve(proxy, client)
    assert log.notes == [("01000", "careful"), ("news", "here")]
    assert set(log.ends) == {"cancelled 1", "the client ended it"}


def test_startup_parameters_are_honoured(open_proxy: OpenProxy) -> None:
    shown = "SELECT current_setting('application_name'), current_setting('DateStyle'), current_setting('my.own')"

    def client() -> tuple[object, ...] | None:
        options = "-c DateStyle=SQL,DMY -c my.own=a\\ b"
        with connect(proxy, application_name="shop", options=options) as conn:
            conn.execute("RESET ALL")
            assert conn.info.parameter_status("DateStyle") == "SQL, DMY"
            return conn.execute(shown).fetchone()

    with open_proxy(**{"my.own": "ours"}) as proxy:
        assert serve(proxy, client) == ("shop", "SQL, DMY", "a b")


@pytest.mark.parametrize(
    ("parameters", "state", "text"),
    [
        ({"password": "wrong"}, "28P01", "password authentication failed"),
        ({"user": "nobody"}, "28000", 'role "nobody" is not the one of this run, "postgres"'),
        ({"dbname": "postgres"}, "3D000", 'database "postgres" is not the one of this run'),
        ({"options": "-c no_such_setting=1"}, "42704", 'unrecognized configuration parameter "no_such_setting"'),
        ({"sslmode": "require"}, None, "server does not support SSL, but SSL was required"),
        ({"sslmode": "require", "sslnegotiation": "direct"}, None, "SSL"),
    ],
)
def test_who_is_not_of_the_run_is_refused(
    open_proxy: OpenProxy, parameters: dict[str, str], state: str | None, text: str
) -> None:
    def client() -> None:
        connect(proxy, **parameters).close()

    with open_proxy() as proxy, pytest.raises(psycopg.OperationalError) as refused:
        serve(proxy, client)
    assert text in str(refused.value)
    assert state is None or refused.value.sqlstate in (state, None)


def test_a_client_is_told_why_the_server_was_not_reached() -> None:
    async def upstream(_: Startup) -> ServerConnection:
        raise ConnectionLost(TIMED_OUT)

    def client() -> None:
        connect(proxy).close()

    with (
        closing(Proxy(upstream, "postgres", "shop")) as proxy,
        pytest.raises(psycopg.OperationalError, match="FATAL:  connection timed out: the server does not answer"),
    ):
        serve(proxy, client)


def test_a_request_is_held_until_the_observer_lets_it_go(open_proxy: OpenProxy) -> None:
    class Turns(Log):
        def __init__(self) -> None:
            super().__init__()
            self.news = Condition()

        async def before_request(self, connection: ClientConnection, request: Request) -> None:
            while not connection.ended and request.sql == "SELECT 'held'":
                await self.news.wait()

        def closed(self, connection: ClientConnection, why: str) -> None:
            super().closed(connection, why)
            self.news.notify()

    log = Turns()

    def client() -> None:
        held = connect(proxy)
        held.pgconn.send_query(b"SELECT 'held'")
        with connect(proxy) as conn:
            conn.execute("SELECT 'passed'")
        # its client gives up, which is noticed meanwhile
        held.close()

    with open_proxy(log) as proxy:
        serve(proxy, client)
    assert [sql for sql, *_ in log.heard] == ["SELECT 'passed'"]
    assert log.ends == ["the client ended it"] * 2


class Holds(Log):
    """Holds requests with a word in them until another one has ended."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.news, self.holds = word, Condition(), threading.Event()

    async def before_request(self, connection: ClientConnection, request: Request) -> None:  # noqa: ARG002  # one has it
        if self.word in request.sql:
            self.holds.set()
            await self.news.wait()

    def after_request(self, connection: ClientConnection, request: Request, outcome: Outcome) -> None:
        super().after_request(connection, request, outcome)
        self.news.notify()

    def cancel(
        self, held: psycopg.Connection[tuple[object, ...]], other: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        """Cancel the request that is held, and end one of another connection."""
        assert self.holds.wait(30)
        held.cancel_safe()
        self.ends.append("asked")
        other.execute("SELECT 'go'")


def test_a_cancel_while_a_request_is_held_cancels_it_once_it_is_sent(open_proxy: OpenProxy) -> None:
    log = Holds("sleep")

    def client() -> None:
        with connect(proxy) as held, connect(proxy) as other:
            asking = threading.Thread(target=log.cancel, args=(held, other))
            asking.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                held.execute("SELECT pg_sleep(60)")
            asking.join()
            # the next one is another's
            held.execute("SELECT 'after'")

    with open_proxy(log) as proxy:
        serve(proxy, client)
    told = [(sql, state) for sql, _, state, *_ in log.heard]
    assert told == [("SELECT 'go'", "00000"), ("SELECT pg_sleep(60)", "57014"), ("SELECT 'after'", "00000")]
    assert log.ends[:2] == ["asked", "cancelled 1"]


def test_what_a_client_sent_before_it_ended_reaches_the_server_as_a_whole(open_proxy: OpenProxy) -> None:
    """The server has run what comes before the end, also without a Sync: a sequence shows it."""
    size = 4_000_000
    ask = message(b"P", b"\0SELECT setval('reached', length($1))\0\0\0")
    bind = message(b"B", b"\0\0\0\0\0\1" + size.to_bytes(4, "big") + b"x" * size + b"\0\0")
    execute = message(b"E", b"\0\0\0\0\0")

    def client() -> None:
        with connect(proxy) as conn:
            conn.execute("CREATE SEQUENCE reached MAXVALUE 99999999")
            ended = connect(proxy)
            with socket.socket(fileno=os.dup(ended.fileno())) as raw:
                raw.setblocking(True)
                raw.sendall(ask + bind + execute)
                raw.shutdown(socket.SHUT_RDWR)  # not a word more
            ended.pgconn.finish()
            until(lambda: conn.execute("SELECT last_value = %s FROM reached", [size]).fetchone() == (True,), "it did")

    with open_proxy() as proxy:
        serve(proxy, client)


def test_a_cancel_while_a_copy_is_held_leaves_its_data_to_pass(open_proxy: OpenProxy) -> None:
    """A backend that waits for data heeds the wish when it has them."""
    log = Holds("COPY")

    def client() -> None:
        with connect(proxy) as held, connect(proxy) as other:
            held.execute("CREATE TEMP TABLE t (n int)")
            asking = threading.Thread(target=log.cancel, args=(held, other))
            asking.start()
            with (
                pytest.raises(psycopg.errors.QueryCanceled),
                held.cursor() as cursor,
                cursor.copy("COPY t FROM STDIN") as copy,
            ):
                copy.write_row([1])
            asking.join()

    with open_proxy(log) as proxy:
        serve(proxy, client)
    assert [(sql, state) for sql, _, state, *_ in log.heard][-1] == ("COPY t FROM STDIN", "57014")
