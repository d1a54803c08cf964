"""Accounts that cannot run a server are refused before anything is created."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from pgchaos.server.binaries import Account, check_account
from pgchaos.server.settings import ServerError

START = "from pgchaos.server.private import start_private; start_private()"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can give capabilities away, by setpriv"
)
@pytest.mark.parametrize("capability", ["chown", "setuid", "kill"])
def test_a_missing_capability_of_root_is_named(capability: str) -> None:
    done = subprocess.run(
        ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}", sys.executable, "-c", START],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert f"ServerError: no private server: root lacks CAP_{capability.upper()} here" in done.stderr
    assert f"docker run --cap-add {capability.upper()} …" in done.stderr
    assert "PermissionError" not in done.stderr, "it is found before anything is tried"


def test_a_user_without_a_name_gets_advice() -> None:
    with pytest.raises(ServerError, match=r"user ID 4000000 has no entry in /etc/passwd.*run as a user that has one"):
        check_account(Account(4_000_000, 4_000_000))


def test_whoever_runs_this_can_start_a_server() -> None:
    check_account(Account(os.geteuid(), os.getegid()))
