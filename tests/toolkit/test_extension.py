from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server import Server
from pgchaos.server.health import ServerHealth
from pgchaos.server.in_place import installed
from pgchaos.server.run_id import RunId
from pgchaos.server.sandbox import set_up_database
from tests.toolkit.conftest import Connection, one

PGTAP = Path(__file__).parents[2] / "pgtap"


@pytest.fixture(params=["$system:", ""], ids=["with all the server has", "alone"])
def bare(request: pytest.FixtureRequest, private_server: Server) -> Iterator[Connection]:
    """An empty database of an ordinary role, connected as that role; the server finds our extension.

    It finds those of its own too, among which pgTAP may be, or no other: then pgTAP comes from a file.
    """
    if private_server.version < 180000:
        pytest.skip("an extension is found outside the server's own folder (extension_control_path) from 18 on")
    conninfo = private_server.conninfo()
    # the server's user must be able to read it, which a folder of pytest's does not let him
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(conninfo, autocommit=True) as admin:
        Path(folder).chmod(0o755)
        (Path(folder) / "extension").mkdir(mode=0o755)
        for name in ("pgchaos.control", "pgchaos--0.1.0.sql"):
            (Path(folder) / "extension" / shutil.copy(PGTAP / name, Path(folder) / "extension")).chmod(0o644)
        admin.execute("CREATE ROLE toolkit_owner LOGIN")
        admin.execute("CREATE DATABASE toolkit_bare OWNER toolkit_owner TEMPLATE template0")
        # only a superuser may set it, for others too
        admin.execute(f"ALTER ROLE toolkit_owner SET extension_control_path = '{request.param}{folder}'".encode())
        try:
            with psycopg.connect(
                make_conninfo(conninfo, dbname="toolkit_bare", user="toolkit_owner", options=""), autocommit=True
            ) as conn:
                yield conn
        finally:
            admin.execute("DROP DATABASE toolkit_bare WITH (FORCE)")
            admin.execute("DROP ROLE toolkit_owner")


def test_the_owner_of_a_database_creates_and_drops_the_extension(bare: Connection) -> None:
    bare.execute("CREATE EXTENSION pgchaos")
    assert one(bare, "SELECT extversion FROM pg_extension WHERE extname = 'pgchaos'") == "0.1.0"
    assert one(bare, "SELECT chaos.fail_nth(2, '40001')") == 1
    assert one(bare, "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'chaos.history'::regclass") == (
        "toolkit_owner"
    )
    bare.execute("DROP EXTENSION pgchaos")
    assert one(bare, "SELECT to_regnamespace('chaos')") is None


def test_where_the_extension_is_installed_it_is_not_loaded_again(bare: Connection) -> None:
    bare.execute("CREATE EXTENSION pgchaos")
    set_up_database(bare, (), None)
    set_up_database(bare, ("pgchaos",), None)
    assert one(bare, "SELECT count(*) FROM pg_extension WHERE extname = 'pgchaos'") == 1


def test_where_the_extension_is_required_it_is_created_instead_of_loaded(bare: Connection) -> None:
    set_up_database(bare, ("pgchaos",), None)
    assert one(bare, "SELECT extversion FROM pg_extension WHERE extname = 'pgchaos'") == "0.1.0"


def test_in_place_an_installed_extension_is_used_and_stays(bare: Connection) -> None:
    bare.execute("CREATE EXTENSION pgchaos")
    bare.execute("INSERT INTO chaos.notifications VALUES ('earlier', 1, 'channel', 'payload', now())")
    with installed(bare, ServerHealth(bare.info.dsn), RunId.new(), (), None):
        assert one(bare, "SELECT count(*) FROM chaos.notifications") == 0
        assert one(bare, "SELECT count(*) FROM pg_proc WHERE proname = 'no_plan'") == 1
    assert one(bare, "SELECT extversion FROM pg_extension WHERE extname = 'pgchaos'") == "0.1.0"
    assert one(bare, "SELECT count(*) FROM pg_namespace WHERE nspname = 'chaos_pgtap'") == 0


def test_in_place_a_required_extension_is_dropped_again(bare: Connection) -> None:
    with installed(bare, ServerHealth(bare.info.dsn), RunId.new(), ("pgchaos",), None):
        assert one(bare, "SELECT count(*) FROM chaos.history") == 0
    assert one(bare, "SELECT to_regnamespace('chaos')") is None
    assert one(bare, "SELECT count(*) FROM pg_extension WHERE extname = 'pgchaos'") == 0


def test_without_pgtap_an_assertion_says_what_is_missing(bare: Connection) -> None:
    bare.execute("CREATE EXTENSION pgchaos")
    with pytest.raises(psycopg.Error, match=r"chaos\.no_leaks needs pgTAP") as caught:
        bare.execute("SELECT chaos.no_leaks()")
    assert caught.value.sqlstate == "CH005"
    assert "CREATE EXTENSION pgtap" in str(caught.value.diag.message_hint)
