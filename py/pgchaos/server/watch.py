"""The runner's end of the supervisor's pipe."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from pgchaos.server.environment import environment
from pgchaos.server.settings import ServerError

_SCRIPT = Path(__file__).with_name("supervisor.py")
_open: weakref.WeakSet[Watch] = weakref.WeakSet()


class Watch:
    """A supervisor, alive until `close` or until this process ends in whatever way.

    The pipe is close-on-exec, and a child made by a bare fork closes it: no child keeps a dead run's server alive.

    Raises:
        ServerError: it could not be started.
    """

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=environment(),
                bufsize=0,
            )
        except OSError as error:
            raise ServerError(f"cannot start the supervisor with {sys.executable}: {error}") from error
        _open.add(self)

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        return self._process.pid

    def ask(self, order: str, limit: float = 90.0, **arguments: object) -> dict[str, Any]:
        """Send an order and wait for its answer.

        Args:
            order: its name; supervisor.py lists them.
            limit: seconds to wait.
            arguments: what it needs.

        Returns:
            The answer.

        Raises:
            ServerError: the supervisor is gone or silent.
        """
        assert self._process.stdin is not None
        line = json.dumps({"order": order, **arguments}) + "\n"
        try:
            self._process.stdin.write(line.encode())
        except (OSError, ValueError) as error:
            raise ServerError(f"the supervisor of the server is gone ({error})") from error
        answer: dict[str, Any] = json.loads(self._read_line(limit))
        return answer

    def _read_line(self, limit: float) -> bytes:
        assert self._process.stdout is not None
        end = time.monotonic() + limit
        line = b""
        while not line.endswith(b"\n"):
            left = max(0.0, end - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise ServerError(f"the supervisor of the server did not answer within {limit:g} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                raise ServerError("the supervisor of the server has ended without an answer")
            line += part
        return line

    def close(self, limit: float = 20.0) -> bool:
        """Close the pipe and wait until the supervisor has cleaned up.

        Args:
            limit: seconds to wait; then it is killed.

        Returns:
            True if it ended by itself, so that nothing is left to do.
        """
        _open.discard(self)
        self._drop_pipe()
        try:
            return self._process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

    def _drop_pipe(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not written yet has no reader any more
                    stream.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _close_in_child() -> None:
    for watch in list(_open):
        watch._drop_pipe()


os.register_at_fork(after_in_child=_close_in_child)
