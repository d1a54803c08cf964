"""A server that only talks TLS: the proxy cannot read what passes then, so that it refuses such a server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server import PrivateServer, Server, ServerError, ServerSettings, open_server, start_private
from tests.engine.playing import Play, held, only
from tests.waiting import until

CUT = """
-- chaos:session a allow 08006
-- chaos:fault cut
SELECT 1;
-- chaos:check
SELECT pass('cut');
"""


def _can_talk_tls() -> Iterator[Path]:
    """Name folders of programs that may: the embedded server's cannot, Debian's can."""
    named = os.environ.get("PG_BINDIR")
    found = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        libraries = subprocess.run(["ldd", folder / "postgres"], capture_output=True, text=True, check=False).stdout
        if "libssl" in libraries:
            yield folder


def _talk_tls_only(private: PrivateServer, address: str) -> str:
    """Have a server refuse all others at its address; give a connection string for it."""
    data = private.folder / "data"
    owner = data.stat()
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=tests", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-keyout", data / "server.key", "-out", data / "server.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    for name in ("server.key", "server.crt"):
        os.chown(data / name, owner.st_uid, owner.st_gid)
        (data / name).chmod(0o600)
    (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all all trust\n")
    with psycopg.connect(make_conninfo(**private.parameters), autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET ssl = on")
        conn.execute("SELECT pg_reload_conf()")
    dsn = make_conninfo(host=address, port=5432, user="postgres", dbname="postgres", sslmode="require")

    def reached() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(dsn):  # polled: it does not listen yet
            return True
        return False

    until(reached, "it talks TLS")
    return dsn


@pytest.fixture(scope="module")
def tls_server() -> Iterator[Server]:
    """A server that is named by its address, and takes no connections there but by TLS."""
    programs = next(_can_talk_tls(), None)
    if programs is None or shutil.which("openssl") is None:
        pytest.skip(
            "it takes openssl, and a server that was built with it, as Debian's postgresql is: name it by PG_BINDIR"
        )
    number = os.getpid()
    address = f"127.{number >> 16 & 127 | 128}.{number >> 8 & 255}.{number & 255}"  # ports are no other's there
    with (
        start_private(programs, {"listen_addresses": address}) as private,
        open_server(ServerSettings(dsn=_talk_tls_only(private, address))) as server,
    ):
        yield server


def test_a_server_that_demands_tls_is_refused_where_the_network_is_ours(tls_server: Server, tmp_path: Path) -> None:
    play = Play(tls_server, tmp_path)
    assert held(play(CUT.replace("-- chaos:fault cut\n", ""))) == ["cut"]
    failure = only(play(CUT))
    assert (
        "the connection to the server is encrypted (TLS), so that nothing can pass it on: name a server" in failure.text
    )


def test_a_certificate_that_is_not_trusted_gets_advice(tls_server: Server, tmp_path: Path) -> None:
    dsn = make_conninfo(tls_server.settings.dsn or "", sslmode="verify-full", sslrootcert=str(tmp_path / "root.crt"))
    with pytest.raises(ServerError, match=r"certificate(?s:.)*no TLS connection as sslmode demands it: check the host"):
        open_server(ServerSettings(dsn=dsn))
