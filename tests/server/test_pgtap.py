from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgchaos.language.header_model import Requirement
from pgchaos.language.problems import Place
from pgchaos.server import ServerError, ServerSettings, download, get_pgtap, open_server, pgtap
from tests.conftest import ForeignServer


def sources(folder: Path, *versions: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pgtap.control").write_text("default_version = '1.3.5'\n")
    for version in versions:
        (folder / f"pgtap--{version}.sql").write_text(f"-- {version}\n")
    return folder


def test_newest_version_of_a_folder_is_taken(tmp_path: Path) -> None:
    sources(tmp_path, "1.2.0", "1.10.0", "1.9.1", "1.10.0--1.11.0")
    assert pgtap.find_file(tmp_path) == tmp_path / "pgtap--1.10.0.sql"


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "my_pgtap.sql"
    file.write_text("SELECT 1;\n")
    assert pgtap.find_file(file) == file


def test_the_searched_folders_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=f"no pgtap--X.Y.Z.sql in {tmp_path}.*apt-get install postgresql-NN-pgtap"):
        pgtap.find_file(tmp_path)


def test_psqls_commands_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "pgtap--1.0.0.sql"
    file.write_text('\\echo Use "CREATE EXTENSION pgtap" to load this file. \\quit\nSELECT 1;\n')
    assert pgtap.read_script(file) == "SELECT 1;"


def test_file_is_loaded_by_an_ordinary_role(foreign_server: ForeignServer) -> None:
    settings = ServerSettings(dsn=foreign_server.role("tester"), pgtap=pgtap.find_file())
    with open_server(settings) as server, server.sandbox() as sandbox, psycopg.connect(sandbox.conninfo) as conn:
        assert conn.execute("SELECT FROM pg_extension WHERE extname = 'pgtap'").fetchall() == []
        conn.execute("SELECT no_plan()")
        assert conn.execute("SELECT is(1, 1, 'equal')").fetchone() == ("ok 1 - equal",)


@pytest.fixture(params=[True, False], ids=["offered", "not offered"])
def offering(request: pytest.FixtureRequest, foreign_server: ForeignServer) -> Iterator[str]:
    """Connect as a superuser to whom the server offers pgTAP as an extension, or does not, whatever is installed."""
    dsn = foreign_server.role("offering", "LOGIN SUPERUSER")
    found = pgtap.find_file()
    # the server's user must be able to read it, which a folder of pytest's does not let him
    with tempfile.TemporaryDirectory() as folder, foreign_server.connect() as conn:
        if conn.info.server_version < 180000:
            pytest.skip("an extension is found outside the server's own folder (extension_control_path) from 18 on")
        extensions = Path(folder) / "extension"
        extensions.mkdir()
        if request.param:
            shutil.copy(found, extensions)
            version = found.name.removeprefix("pgtap--").removesuffix(".sql")
            (extensions / "pgtap.control").write_text(f"default_version = '{version}'\n")
        for path in (Path(folder), extensions):
            path.chmod(0o755)
        for file in extensions.iterdir():
            file.chmod(0o644)
        # without $system nothing of the server's own is offered
        conn.execute(f"ALTER ROLE offering SET extension_control_path = '{folder}'".encode())
        with psycopg.connect(dsn) as other:
            offered = other.execute("SELECT FROM pg_available_extensions WHERE name = 'pgtap'").fetchone()
        assert (offered is not None) is request.param
        yield dsn


def test_file_that_is_named_wins_over_the_servers_extension(offering: str, tmp_path: Path) -> None:
    sources(tmp_path, "0.0.1")
    (tmp_path / "pgtap--0.0.1.sql").write_text("CREATE FUNCTION pgtap_version() RETURNS text RETURN 'mine';\n")
    with (
        open_server(ServerSettings(dsn=offering, pgtap=tmp_path)) as server,
        server.sandbox() as sandbox,
        psycopg.connect(sandbox.conninfo) as conn,
    ):
        assert conn.execute("SELECT FROM pg_extension WHERE extname = 'pgtap'").fetchone() is None
        assert conn.execute("SELECT pgtap_version()").fetchone() == ("mine",)


def versioned(operator: str, version: str) -> Requirement:
    return Requirement(Place("any.sql", 1), "extension", "pgtap", operator, version)


@pytest.mark.parametrize("named", [False, True])
def test_one_that_is_required_is_there_once_and_as_it_is_loaded(offering: str, tmp_path: Path, named: bool) -> None:
    folder = tmp_path if named else None
    if named:
        shutil.copy(pgtap.find_file(), tmp_path / "pgtap--7.0.1.sql")
    with open_server(ServerSettings(dsn=offering, pgtap=folder)) as server:
        assert server.missing(versioned("", "")) == ""
        too_new = server.missing(versioned(">", "7.0.1"))
        assert too_new.startswith("requires extension pgtap > 7.0.1, ")
        assert (f"{tmp_path / 'pgtap--7.0.1.sql'} is pgTAP 7.0.1" in too_new) is named
        assert (server.missing(versioned("=", "7.0.1")) == "") is named
        with server.sandbox(("pgtap",)) as sandbox, psycopg.connect(sandbox.conninfo) as conn:
            assert conn.execute("SELECT count(*) FROM pg_proc WHERE proname = 'no_plan'").fetchone() == (1,)


def test_a_name_without_a_version_is_reported(foreign_server: ForeignServer, tmp_path: Path) -> None:
    file = Path(shutil.copy(pgtap.find_file(), tmp_path / "mine.sql"))
    with open_server(ServerSettings(dsn=foreign_server.dsn, pgtap=file)) as server:
        assert server.missing(versioned("", "")) == ""
        assert f"the name of {file} contains no version" in server.missing(versioned(">=", "1.0"))


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
    assert get_pgtap.fetch(tmp_path, said.append) == 1
    assert said[0] == "pgTAP: not from npm (`npm` ended with 1: network unreachable)"
    assert said[1] == "pgTAP: not from Debian's packages (apt-cache is not installed)"
    assert "Install npm, or on Debian and Ubuntu postgresql-NN-pgtap" in said[2]


def test_second_source_is_tried_when_the_first_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir, target = tmp_path / "bin", tmp_path / "target"
    bindir.mkdir()
    content = sources(tmp_path / "content", "1.2.0")
    command(bindir, "apt-cache", "echo postgresql-9-pgtap; echo postgresql-15-pgtap; echo postgresql-client")
    command(bindir, "apt-get", 'for name; do :; done; : >"$name.deb"')
    command(bindir, "dpkg", f'[ "$2" != "${{2%postgresql-15-pgtap.deb}}" ] && /bin/cp -r {content} "$3"')
    monkeypatch.setenv("PATH", str(bindir))
    monkeypatch.setattr(get_pgtap, "target_folder", lambda: target)
    said: list[str] = []
    assert get_pgtap.fetch(tmp_path, said.append) == 0
    assert said == [
        "pgTAP: not from npm (npm is not installed)",
        f"pgTAP: fetched from Debian's packages into {target}",
    ]
    assert pgtap.find_file(target).name == "pgtap--1.2.0.sql"
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
    pinned = download.PGTAP._replace(integrity=f"sha512-{base64.b64encode(digest).decode()}")
    monkeypatch.setenv("PATH", str(bindir))
    monkeypatch.setattr(get_pgtap, "target_folder", lambda: target)
    said: list[str] = []
    (tmp_path / "other").mkdir()
    assert get_pgtap.fetch(tmp_path / "other", said.append) == 1
    assert f"package.tgz is not {pinned.name} {pinned.version}: its checksum is {pinned.integrity}, but" in said[0]
    assert not target.exists()
    assert list((tmp_path / "other").rglob("*.tgz")) == []
    monkeypatch.setattr(get_pgtap, "PGTAP", pinned)
    (tmp_path / "work").mkdir()
    assert get_pgtap.fetch(tmp_path / "work", said.append) == 0
    assert pgtap.find_file(target).name == "pgtap--1.3.5.sql"


def test_what_another_server_has_is_copied_to_the_embedded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, embedded = sources(tmp_path / "other", "1.1.0", "1.2.0"), tmp_path / "embedded"
    embedded.mkdir()
    monkeypatch.setattr(pgtap, "embedded_folder", lambda: embedded)
    monkeypatch.setattr(pgtap, "search_folders", lambda: iter([embedded, other]))
    assert get_pgtap.main() == 0
    assert pgtap.find_file() == embedded / "pgtap--1.2.0.sql"
    assert (embedded / "pgtap.control").read_text() == "default_version = '1.3.5'\n"
    (other / "pgtap--1.3.0.sql").write_text("-- 1.3.0\n")
    assert get_pgtap.main() == 0
    assert not (embedded / "pgtap--1.3.0.sql").exists()


def test_what_cannot_be_copied_is_used_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sources(tmp_path / "other", "1.2.0")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(pgtap, "embedded_folder", lambda: tmp_path / "file" / "embedded")
    monkeypatch.setattr(pgtap, "search_folders", lambda: iter([other]))
    assert get_pgtap.main() == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="to root every folder is writable")
def test_folder_that_is_not_writable_is_left_for_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr(pgtap, "embedded_folder", lambda: tmp_path)
    assert get_pgtap.target_folder() == pgtap.environment_folder()
