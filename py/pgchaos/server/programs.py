"""The programs that sessions run: where they are searched, and whether they can load a library."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pgchaos.language.header_model import Requirement
from pgchaos.server.binaries import copy_environment
from pgchaos.server.settings import ServerError

_LIMIT = 60.0  # seconds for the import of a library
_DOES_NOT_RUN = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC})  # others: the machine is at a limit
_PYTHON = "import importlib, sys; importlib.import_module(sys.argv[1])"
_NODE = "require(process.argv[1])"
_TRIES = {"python": ("-c", _PYTHON), "python3": ("-c", _PYTHON), "node": ("-e", _NODE)}


def program_path(environ: Mapping[str, str]) -> str:
    """Return the search path for programs of sessions: first this Python's environment."""
    path = environ.get("PATH", os.defpath)
    if sys.prefix == sys.base_prefix:
        return path
    # pytest of a virtual environment may be started by its path, without activating the environment
    return os.pathsep.join(filter(None, (str(Path(sys.executable).parent), path)))


def missing_program(requirement: Requirement) -> str:
    """Explain why a program, or a library of it, is missing; '' if it is there; ServerError if that is not known."""
    environ = copy_environment()
    found = shutil.which(requirement.name, path=program_path(environ))
    if found is None:
        return f"requires program {requirement.name}, which is not in PATH: install it"
    if not requirement.function:
        return ""
    wanted = f"requires program {requirement.name} with {requirement.function}"
    try:
        done = subprocess.run(
            [found, *_TRIES[requirement.name], requirement.function],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        if isinstance(error, OSError) and error.errno in _DOES_NOT_RUN:
            return f"{wanted}, and {found} does not run: {error}"
        raise ServerError(f"{wanted}, and it is not known whether it is there: {error}") from None
    if done.returncode < 0:
        raise ServerError(
            f"{wanted}, and it is not known whether it is there: {found} was ended by signal {-done.returncode}"
        )
    return "" if done.returncode == 0 else f"{wanted}, and {found} finds no {requirement.function}: install it for that"
