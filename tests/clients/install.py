"""Brings the clients that tests/clients drives: `make clients`. What is there already stays."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.clients.races import INSTALLED, JAR, PROGRAMS, PYTHON, jar

PACKAGES = ("psycopg[binary]", "psycopg2-binary", "asyncpg", "sqlalchemy", "django", "frontrun", "pytest")
"""Of Python, in an environment of their own: frontrun patches drivers, and must not meet our tests."""


def main() -> int:
    """Bring what is missing, and say what could not be brought; the exit status is 1 then."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    steps = {"Python packages": _python, "node-postgres": _node, "the JDBC driver": _jdbc}
    failed = [name for name, step in steps.items() if not _done(name, step)]
    return 1 if failed else 0


def _done(name: str, step: Callable[[], None]) -> bool:
    try:
        step()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name}: not installed: {error}", file=sys.stderr)
        return False
    print(f"{name}: installed in {INSTALLED}")
    return True


def _python() -> None:
    venv = PYTHON.parents[1]
    uv = Path(sys.executable).with_name("uv")
    if not PYTHON.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", PYTHON, *PACKAGES], check=True)


def _node() -> None:
    if not (INSTALLED / "node_modules/pg").is_dir():
        command: list[str | Path] = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--no-save",
            "--prefix",
            INSTALLED,
            "pg",
        ]
        subprocess.run(command, check=True)


def _jdbc() -> None:
    folder = INSTALLED / "jdbc"
    folder.mkdir(exist_ok=True)
    if jar() is None:
        # into our folder, which needs no root
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(["apt-get", "download", "-qq", "libpostgresql-jdbc-java"], cwd=place, check=True)
            (package,) = Path(place).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        assert (folder / JAR).exists()
    if shutil.which("javac"):
        subprocess.run(["javac", "-d", folder, PROGRAMS / "WithJdbc.java"], check=True)


if __name__ == "__main__":
    sys.exit(main())
