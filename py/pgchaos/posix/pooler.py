"""A connection pooler that the supervisor starts beside a server, as the server's account."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket as sockets
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pgchaos.posix.postmaster import log_tail, open_log

_READY_LIMIT = 30.0  # seconds
_SET_PDEATHSIG = 1  # PR_SET_PDEATHSIG, linux/prctl.h
_LIBC = ctypes.CDLL(None)  # loaded here: a forked child must not load it


class PoolerProcess:
    """A pooler and its folder. The account can write to the folder only after the files are in it.

    Args:
        folder: to be made; its parent belongs to the user of this process.
        files: of the folder, by name.
        account: as subprocess.Popen takes it; empty for the user of this process.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], account: Mapping[str, Any]) -> None:
        self.folder = folder
        self._account = account
        self._log = folder.with_name(f"{folder.name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        for name, text in files.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            if account:
                os.chown(path, account["user"], account["group"])
        if account:
            os.chown(folder, account["user"], account["group"])

    def start(self, command: list[str], env: Mapping[str, str]) -> None:
        """Start it; on Linux the kernel kills it when this process ends."""
        with open_log(self._log) as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # safe: this process has one thread
                **self._account,
            )

    def wait_until_ready(self, socket: str, wait: Callable[[float], None]) -> str:
        """Wait until it accepts connections.

        Args:
            socket: its name in the folder.
            wait: waits some seconds.

        Returns:
            What is wrong, or ''.
        """
        assert self._process is not None
        limit = time.monotonic() + _READY_LIMIT
        while time.monotonic() < limit:
            if self._process.poll() is not None:
                return f"the pooler ended with {self._process.returncode}: {log_tail(self._log)}"
            with contextlib.suppress(OSError), sockets.socket(sockets.AF_UNIX) as peer:  # it does not listen yet
                peer.connect(str(self.folder / socket))
                return ""
            wait(0.002)
        return f"the pooler did not accept connections within {_READY_LIMIT:g} s: {log_tail(self._log)}"

    def end(self) -> str:
        """Kill it, remove its folder, and return the end of its log."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        log = log_tail(self._log)
        shutil.rmtree(self.folder, ignore_errors=True)  # it is removed with the folder of the server
        self._log.unlink(missing_ok=True)
        return log


def _end_with_parent() -> None:
    with contextlib.suppress(AttributeError):  # other systems have no such call
        _LIBC.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
