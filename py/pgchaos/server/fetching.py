"""How what we do not carry is fetched: by the package tools of the machine, with a limit, and unpacked with care."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from pgchaos.server.pins import Package

_LIMIT = 60.0


class SourceError(Exception):
    """A source has nothing for us; the message says why."""


def run(command: Sequence[str], folder: Path, limit: float = _LIMIT) -> str:
    """Run a program that asks no questions.

    Args:
        command: its name and arguments.
        folder: to work in.
        limit: seconds that it may take.

    Returns:
        What it printed.

    Raises:
        SourceError: it is missing, fails, or takes longer.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except FileNotFoundError:
        raise SourceError(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"`{command[0]}` did not end within {limit:g} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise SourceError(f"`{command[0]}` ended with {done.returncode}: {last}")
    return done.stdout


def pack(package: Package, folder: Path) -> Path:
    """Fetch a package by npm, and make sure that it is the one that is meant.

    Args:
        package: with its version and checksum.
        folder: an empty one, where to.

    Returns:
        Its archive.

    Raises:
        SourceError: npm is missing or fails, or brings another file; then none is left.
    """
    named = f"{package.name}@{package.version}"
    run(["npm", "pack", "--ignore-scripts", "--loglevel", "error", "--pack-destination", str(folder), named], folder)
    archives = sorted(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise SourceError(f"npm brought {len(archives)} files for {named}, and not one")
    check(archives[0], package)
    return archives[0]


def check(archive: Path, package: Package) -> None:
    """Compare a file with the checksum that it must have; another file is removed.

    Args:
        archive: the file.
        package: whose it should be.

    Raises:
        SourceError: it is another file.
    """
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        archive.unlink()
        raise SourceError(
            f"{archive.name} is not {package.name} {package.version}: its checksum is sha512-{digest}, and should be "
            f"{package.integrity}; it was removed"
        )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of tar, of which no member leaves the folder.

    Args:
        archive: the file.
        folder: where to.

    Raises:
        OSError: it cannot be read or written.
        tarfile.TarError: it is damaged, or a member would leave the folder.
    """
    with tarfile.open(archive) as tar:
        # the filter came with security releases of 3.10 and 3.11; a Python without it gets the members checked by hand
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
            return
        root = folder.resolve()
        members = [item for item in tar.getmembers() if (item.isfile() or item.isdir())]
        tar.extractall(folder, members=[item for item in members if (root / item.name).resolve().is_relative_to(root)])
