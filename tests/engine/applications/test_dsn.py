"""The URI that the setup function of a test is called with: every driver reads it, and finds the same database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.applications.dsn import direct_dsn
from tests.conftest import ForeignServer

ROLE, DATABASE = "o'neil@shop/é", "a b%20c?"


def test_it_is_a_uri_and_its_parts_connect_too(foreign_server: ForeignServer) -> None:
    with foreign_server.connect() as conn:
        conn.execute(f'CREATE ROLE "{ROLE}" LOGIN')
        conn.execute(f'CREATE DATABASE "{DATABASE}"')
    try:
        parts = {"user": ROLE, "dbname": DATABASE, "password": "s/e:c@r", "options": r"-c search_path=one,\ two"}
        dsn = direct_dsn(make_conninfo(foreign_server.dsn, **parts))
        uri = urlsplit(dsn)
        assert (uri.scheme, unquote(uri.username or ""), unquote(uri.password or "")) == ("postgresql", ROLE, "s/e:c@r")
        assert unquote(uri.path) == f"/{DATABASE}"
        assert parse_qs(uri.query)["options"] == [parts["options"]]
        # the parts as key words are what make_conninfo writes
        for conn in (psycopg.connect(dsn), psycopg.connect(make_conninfo(**dsn.parameters))):
            with conn:
                query = "SELECT current_user::text, current_database()::text, current_setting('search_path')"
                assert conn.execute(query).fetchone() == (ROLE, DATABASE, "one, two")
    finally:
        with foreign_server.connect() as conn:
            conn.execute(f'DROP DATABASE "{DATABASE}"')
            conn.execute(f'DROP ROLE "{ROLE}"')


def test_what_a_service_names_is_in_it(
    foreign_server: ForeignServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with foreign_server.connect() as conn:
        host, port = conn.info.host, conn.info.port
    (tmp_path / "services").write_text(f"[shop]\nhost={host}\nport={port}\nuser=postgres\nsslmode=allow\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    dsn = direct_dsn("service=shop dbname=postgres")
    parts = {"host": host, "port": str(port), "dbname": "postgres", "user": "postgres", "password": ""}
    assert dsn.parameters == {**parts, "sslmode": "allow"}
