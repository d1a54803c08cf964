"""Gets pgTAP if it is missing: `python -m pgchaos.server.get_pgtap`, run by make.

If this machine has it for another server, it is copied to the embedded one. Else the sources are tried in turn: the npm
package @electric-sql/pglite-pgtap, which contains the extension's files, then the package of Debian and Ubuntu, which
is extracted and not installed. Neither needs root.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pgchaos.server import pgtap
from pgchaos.server.download import PGTAP, SourceError, extract, fetch_package, run_command
from pgchaos.server.settings import ServerError


def main() -> int:
    """Get pgTAP unless it is there."""
    try:
        found = pgtap.find_file()
    except ServerError:
        pass  # there is none yet
    else:
        print(f"pgTAP: {copy_to_embedded(found)}")
        return 0
    with tempfile.TemporaryDirectory(prefix="pgchaos-pgtap-") as folder:
        return fetch(Path(folder))


def copy_to_embedded(found: Path) -> Path:
    """Copy pgTAP to the embedded server, so that CREATE EXTENSION works there; return its SQL file."""
    try:
        folder = pgtap.embedded_folder()
        if pgtap.newest_file(folder) is None and (found.parent / "pgtap.control").is_file():
            copy_files(found.parent, folder)
            return folder / found.name
    except (ServerError, OSError):
        pass  # there is no embedded server, or its folder is not writable: the file is loaded from where it is
    return found


def fetch(folder: Path, say: Callable[[str], None] = print) -> int:
    """Try each source in turn."""
    failures = []
    for name, source in (("npm", from_npm), ("Debian's packages", from_debian)):
        work = folder / name.split("'")[0]
        work.mkdir()
        try:
            found = source(work)
            say(f"pgTAP: fetched from {name} into {install_files(found)}")
            return 0
        except (SourceError, OSError, tarfile.TarError) as error:
            failures.append(f"{name}: {error}")
            say(f"pgTAP: not from {name} ({error})")
    say(
        "pgTAP could not be fetched. Install npm, or on Debian and Ubuntu postgresql-NN-pgtap (Red Hat: pgtap_NN), or "
        "copy its pgtap.control and pgtap--X.Y.Z.sql (https://pgtap.org) into " + str(target_folder())
    )
    return 1


def from_npm(folder: Path) -> Path:
    """Fetch the npm package."""
    extract(fetch_package(PGTAP, folder), folder)
    for inner in folder.glob("package/dist/pgtap.tar.gz"):
        extract(inner, folder)
    return _extension_folder(folder, PGTAP.name)


def from_debian(folder: Path) -> Path:
    """Fetch the newest postgresql-NN-pgtap that apt knows; if it knows none, update its lists first."""
    names = _debian_names(folder, [])
    options: list[str] = []
    if not names:
        # in a folder of our own: to update the system's lists needs root
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User="]
        run_command(["apt-get", *options, "-qq", "update"], folder)
        names = _debian_names(folder, options)
    if not names:
        raise SourceError("apt knows no package postgresql-NN-pgtap")
    run_command(["apt-get", *options, "-qq", "-o", "APT::Sandbox::User=", "download", names[-1]], folder)
    for package in folder.glob("*.deb"):
        run_command(["dpkg", "-x", str(package), str(folder / "unpacked")], folder)
    return _extension_folder(folder, names[-1])


def _debian_names(folder: Path, options: Sequence[str]) -> list[str]:
    known = run_command(["apt-cache", *options, "pkgnames", "postgresql-"], folder).split()
    numbered = [name for name in known if name.endswith("-pgtap") and name.split("-")[1].isdigit()]
    return sorted(numbered, key=lambda name: int(name.split("-")[1]))


def _extension_folder(folder: Path, source: str) -> Path:
    for control in folder.rglob("pgtap.control"):
        if pgtap.newest_file(control.parent):
            return control.parent
    raise SourceError(f"{source} contains no pgtap--X.Y.Z.sql")


def target_folder() -> Path:
    """Choose the folder for pgTAP: the embedded server's extensions, else one in this Python's environment."""
    try:
        folder = pgtap.embedded_folder()
    except ServerError:
        return pgtap.environment_folder()
    return folder if os.access(folder, os.W_OK) else pgtap.environment_folder()


def install_files(source: Path) -> Path:
    """Copy the extension's files from a folder into the target folder, and return that."""
    folder = target_folder()
    copy_files(source, folder)
    return folder


def copy_files(source: Path, folder: Path) -> None:
    """Copy the extension's files into a folder, which is created if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    # the control file last: with it the server offers the extension, which must be complete by then
    files = sorted(source.glob("pgtap--*.sql"))
    for path in (*files, source / "pgtap.control"):
        # a new file with an unpredictable name
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
        with open(number, "wb") as copied, path.open("rb") as file:  # noqa: PTH123  # a number
            os.fchmod(number, 0o644)
            shutil.copyfileobj(file, copied)
        Path(name).replace(folder / path.name)


if __name__ == "__main__":
    sys.exit(main())
