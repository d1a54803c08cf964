"""The runner's end of the supervisor's pipe."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from pgchaos.server import threads
from pgchaos.server.binaries import supervisor_environment
from pgchaos.server.settings import ServerError

_SCRIPT = Path(__file__).with_name("supervisor.py")
_open: weakref.WeakSet[SupervisorClient] = weakref.WeakSet()

_ANSWER_LIMIT = 15.0  # seconds for an order that waits for nothing but the supervisor itself
_END_LIMIT = 20.0  # seconds in which a supervisor ends and cleans up
_SILENT_LIMIT = 3.0  # the same for one that has left an order without an answer


class SupervisorClient:
    """A supervisor, alive until `close` or until this process ends in whatever way. Safe to use from several threads.

    The pipe is close-on-exec, and a child made by a bare fork closes it: no child keeps a dead run's server alive.

    Args:
        connecting: it will connect to a server that is not ours.

    Raises:
        ServerError: it could not be started.
    """

    def __init__(self, *, connecting: bool = False) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=supervisor_environment(connecting=connecting),
                bufsize=0,
            )
        except OSError as error:
            raise ServerError(f"cannot start the supervisor with {sys.executable}: {error}") from error
        assert self._process.stdin is not None
        # a supervisor that reads no more must not hold up who writes
        os.set_blocking(self._process.stdin.fileno(), False)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._unread = b""
        self._unsent = b""
        self._silent = False
        _open.add(self)

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        return self._process.pid

    def ask(self, order: str, limit: float = _ANSWER_LIMIT, **arguments: object) -> dict[str, Any]:
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
        deadline = time.monotonic() + limit
        if not self._lock.acquire(timeout=limit):
            raise ServerError(f"the supervisor of the server (pid {self.pid}) was busy for {limit:g} s")
        try:
            number = next(self._numbers)
            # the rest of an order that was not sent whole comes first: the pipe carries lines
            self._unsent += (json.dumps({"order": order, "id": number, **arguments}) + "\n").encode()
            self._silent = True
            answer = self._answer(number, deadline)
            if answer is None:
                raise ServerError(
                    f"the supervisor of the server (pid {self.pid}) did not answer `{order}` within {limit:g} s: "
                    "it is stopped, or the machine is overloaded"
                )
            self._silent = False
            return answer
        finally:
            self._lock.release()

    def _answer(self, number: int, deadline: float) -> dict[str, Any] | None:
        """Send what is unsent, and read until the answer to an order comes; None where the time is over."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, back = self._process.stdin, self._process.stdout
        while True:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                answer: dict[str, Any] = json.loads(line)
                # another number: the late answer to an order that was given up
                if answer.pop("id") == number:
                    return answer
            try:
                poll = select.poll()
                poll.register(back, select.POLLIN)
                if self._unsent:
                    poll.register(out, select.POLLOUT)
                left = deadline - time.monotonic()
                ready = {fd for fd, _ in poll.poll(left * 1000)} if left > 0 else set()
                if not ready:
                    return None
                if out.fileno() in ready:
                    with contextlib.suppress(BlockingIOError):  # not as much room as was asked for
                        self._unsent = self._unsent[os.write(out.fileno(), self._unsent) :]
                part = os.read(back.fileno(), 65536) if back.fileno() in ready else None
            except (OSError, ValueError) as error:
                raise ServerError(f"the supervisor of the server is gone ({error})") from error
            if part == b"":
                raise ServerError("the supervisor of the server has ended without an answer")
            self._unread += part or b""

    def close(self, limit: float = _END_LIMIT) -> bool:
        """Close the pipe and wait until the supervisor has cleaned up.

        Args:
            limit: seconds to wait; then it is killed. Fewer are enough for one that left an order without an answer.

        Returns:
            True if it ended by itself, so that nothing is left to do.
        """
        _open.discard(self)
        self._drop_pipe()
        try:
            return self._process.wait(min(limit, _SILENT_LIMIT) if self._silent else limit) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

    def leave(self, limit: float) -> bool:
        """Close the pipe, and have the supervisor clean up by itself, also after the end of this process.

        Args:
            limit: seconds to wait for it.

        Returns:
            True if it has ended in that time, so that nothing is left to do.
        """
        _open.discard(self)
        self._drop_pipe()
        try:
            return self._process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            # who goes on without it must not be left with a zombie
            threads.start(threading.Thread(target=self._process.wait, name="pgchaos supervisor", daemon=True))
            return False

    def _drop_pipe(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not written yet has no reader any more
                    stream.close()

    def __enter__(self) -> SupervisorClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _close_in_child() -> None:
    for watch in list(_open):
        watch._drop_pipe()


os.register_at_fork(after_in_child=_close_in_child)
