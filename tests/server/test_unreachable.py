"""A server that runs and refuses, because of what was named, says what to do about it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from pgchaos.server import ServerError, ServerSettings, open_server, server_inspection, start_private
from pgchaos.server.settings import Conninfo
from tests.conftest import ForeignServer
from tests.waiting import until

HBA = """
local all all trust
host postgres all all scram-sha-256
"""


def refusal(dsn: str, *, in_place: bool = False) -> str:
    with pytest.raises(ServerError) as caught:
        open_server(ServerSettings(dsn=Conninfo(dsn), in_place=in_place)).close()
    return str(caught.value)


def test_a_role_that_is_not_there(foreign_server: ForeignServer) -> None:
    text = refusal(make_conninfo(foreign_server.dsn, user="nobody_here"))
    assert 'role "nobody_here" does not exist' in text
    assert "the server runs, but has no such role: name another with user=… in --chaos-dsn, or create it: " in text
    assert "start it" not in text


def test_a_database_that_is_not_there(foreign_server: ForeignServer) -> None:
    text = refusal(make_conninfo(foreign_server.dsn, dbname="nothing_here"))
    assert "the server runs, but has no such database" in text
    assert "createdb nothing_here" in text


@pytest.fixture
def services(foreign_server: ForeignServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of services, of which `lonely` names no database and has a role without one of its name."""
    given = psycopg.conninfo.conninfo_to_dict(foreign_server.dsn)
    with psycopg.connect(foreign_server.dsn, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS lonely")
        conn.execute("CREATE ROLE lonely LOGIN SUPERUSER")
    path = tmp_path / "services.conf"
    place = f"host={given['host']}\nport={given.get('port', 5432)}\n"
    path.write_text(
        f"[lonely]\n{place}user=lonely\n[named]\n{place}user=postgres\ndbname=postgres\n[same]\n{place}user=postgres\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    return path


def test_a_service_that_is_not_there(services: Path) -> None:
    assert f"write a section [nosuch] into {services}" in refusal("service=nosuch")


def test_a_service_that_names_no_database(services: Path) -> None:
    assert services.exists()
    text = refusal("service=lonely")
    assert "no database is named, nor in the service, so libpq took the name of the role" in text


def test_a_server_without_the_database_postgres(foreign_server: ForeignServer) -> None:
    with foreign_server.connect(dbname="template1") as conn:
        conn.execute("ALTER DATABASE postgres RENAME TO aside")
        try:
            text = refusal(make_conninfo(foreign_server.dsn, dbname=""))
        finally:
            conn.execute("ALTER DATABASE aside RENAME TO postgres")
    assert "no database is named, so pgchaos connects to postgres: name one with dbname=… in --chaos-dsn" in text


def test_in_place_a_service_must_name_the_database(services: Path) -> None:
    assert services.exists()
    text = refusal("service=same", in_place=True)
    assert "the service names none: add dbname to it" in text
    with open_server(ServerSettings(dsn=Conninfo("service=named"), in_place=True)) as server:
        assert server.banner


def test_a_host_that_is_not_known() -> None:
    text = refusal("host=nobody.invalid user=postgres dbname=postgres")
    assert "no address is known for this host: check host=… and port=… in --chaos-dsn" in text
    assert "start the server" not in text


@pytest.fixture(scope="module")
def by_address() -> Iterator[str]:
    """A connection string for a server that is reached by its address."""
    number = os.getpid()
    address = f"127.{number >> 16 & 127 | 128}.{number >> 8 & 255}.{number & 255}"  # ports are no other's there
    with start_private(settings={"listen_addresses": address}) as private:
        dsn = make_conninfo(host=address, port=5432, user="postgres", dbname="postgres")
        with psycopg.connect(make_conninfo(**private.parameters), autocommit=True) as conn:
            (private.folder / "data" / "pg_hba.conf").write_text(HBA)
            conn.execute("CREATE ROLE member LOGIN PASSWORD 'right'")
            conn.execute("SELECT pg_reload_conf()")
        yield dsn


@pytest.mark.parametrize(
    ("change", "said", "advice"),
    [
        ({"sslmode": "require"}, "SSL was required", "no TLS connection as sslmode demands it: check the host (host=…"),
        (
            {"user": "member", "password": "wrong"},
            "password authentication failed",
            "the server runs, but refuses this connection: check the role (user=… in --chaos-dsn), its password and",
        ),
        (
            {"user": "member", "dbname": "template1"},
            "no pg_hba.conf entry",
            "its password and pg_hba.conf, or set sslmode=require (PGSSLMODE)",
        ),
    ],
    ids=["no TLS", "wrong password", "no entry in pg_hba.conf"],
)
def test_the_advice_fits_the_refusal(by_address: str, change: dict[str, str], said: str, advice: str) -> None:
    text = refusal(make_conninfo(by_address, **change))
    assert said in text
    assert advice in text
    assert "start the server" not in text


def test_a_server_that_recovers() -> None:
    with ThreadPoolExecutor(1) as pool, start_private(settings={"hot_standby": "off"}) as private:
        private.stop("fast")
        (private.folder / "data" / "standby.signal").touch()
        pool.submit(private.start)  # it never accepts connections: `close` ends the wait
        dsn = make_conninfo(**private.parameters)
        until(lambda: pq.PGconn.ping(dsn.encode()) == pq.Ping.REJECT, "it recovers")
        text = refusal(dsn)
    assert "the server is starting up, recovering or shutting down: run again when it accepts connections" in text
    assert "start the server" not in text


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_server_that_takes_connections_and_never_answers(hosts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_inspection, "ANSWERS_WITHIN", 4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        text = refusal(f"host={','.join(['127.0.0.1'] * hosts)} port={port} user=postgres dbname=postgres")
        took = time.monotonic() - began
    # 4 s for all hosts, and no look at anything else; it was 30 s for each
    assert took < 16
    assert "no answer within 4 s: check that this is the address of a PostgreSQL server" in text


def test_the_users_own_connect_timeout_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = refusal(f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=2")
    assert "no answer within 2 s" in text
