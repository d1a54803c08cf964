"""Starts a supervisor, and sends requests to it."""

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgchaos.server import threads
from pgchaos.server.binaries import supervisor_environment
from pgchaos.server.settings import ServerError, nothing

_SCRIPT = Path(__file__).with_name("supervisor.py")
_open: weakref.WeakSet[SupervisorClient] = weakref.WeakSet()

_RESPONSE_LIMIT = 15.0  # seconds for a request that waits only for the supervisor itself
END_LIMIT = 20.0  # seconds for a supervisor to clean up and end
_SILENT_LIMIT = 3.0  # the same for one that did not respond to a request
_KILL_LIMIT = 5.0  # seconds for a killed supervisor to end: one that waits for a disk or a debugger does not
_CHECK_INTERVAL = 0.1  # seconds between two checks whether a request was cancelled


class SupervisorClient:
    """A supervisor, which runs until `close` or until this process ends in any way. Thread-safe.

    The pipe is close-on-exec, and a forked child closes it: so no child of a dead run prevents the cleanup.

    Args:
        connecting: it will connect to a server that is not ours, and so needs libpq's environment.

    Raises:
        ServerError: it cannot be started.
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
        # a supervisor that does not read must not block this process
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

    def request(
        self,
        order: str,
        limit: float = _RESPONSE_LIMIT,
        meanwhile: Callable[[], None] = nothing,
        cancelled: threading.Event | None = None,
        **arguments: object,
    ) -> dict[str, Any]:
        """Send a request and return the response.

        Args:
            order: the request's name; supervisor.py lists them.
            limit: seconds to wait.
            meanwhile: called while the supervisor works.
            cancelled: ends the wait when it is set; the supervisor works on until `close`.
            arguments: of the request.

        Raises:
            ServerError: the supervisor has ended or does not respond, or the request was cancelled.
        """
        deadline = time.monotonic() + limit
        if not self._lock.acquire(timeout=limit):
            raise ServerError(f"the supervisor of the server (pid {self.pid}) was busy for {limit:g} s")
        try:
            number = next(self._numbers)
            # after the unsent rest of an earlier request: each request is a line
            self._unsent += (json.dumps({"order": order, "id": number, **arguments}) + "\n").encode()
            self._silent = True
            with contextlib.suppress(OSError, ValueError):  # reported where the response is read
                self._send()
            meanwhile()
            answer = self._response(number, deadline, cancelled or threading.Event())
            if answer is None and cancelled is not None and cancelled.is_set():
                raise ServerError(f"`{order}` was cancelled, because the run ends")
            if answer is None:
                raise ServerError(
                    f"the supervisor of the server (pid {self.pid}) did not answer `{order}` within {limit:g} s: "
                    "it is stopped, or the machine is overloaded"
                )
            self._silent = False
            return answer
        finally:
            self._lock.release()

    def _response(self, number: int, deadline: float, cancelled: threading.Event) -> dict[str, Any] | None:
        """Send the rest, and read until the response to request `number` arrives; None if it is late or cancelled."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, back = self._process.stdin, self._process.stdout
        while True:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                answer: dict[str, Any] = json.loads(line)
                # another number: the late response to an earlier request
                if answer.pop("id") == number:
                    return answer
            try:
                poll = select.poll()
                poll.register(back, select.POLLIN)
                if self._unsent:
                    poll.register(out, select.POLLOUT)
                left = deadline - time.monotonic()
                if left <= 0 or cancelled.is_set():
                    return None
                ready = {fd for fd, _ in poll.poll(min(left, _CHECK_INTERVAL) * 1000)}
                if out.fileno() in ready:
                    self._send()
                part = os.read(back.fileno(), 65536) if back.fileno() in ready else None
            except (OSError, ValueError) as error:
                raise ServerError(f"the supervisor of the server is gone ({error})") from error
            if part == b"":
                raise ServerError("the supervisor of the server ended without a response")
            self._unread += part or b""

    def _send(self) -> None:
        """Send what fits into the pipe."""
        assert self._process.stdin is not None
        with contextlib.suppress(BlockingIOError):  # the pipe is full
            self._unsent = self._unsent[os.write(self._process.stdin.fileno(), self._unsent) :]

    def close(self, limit: float = END_LIMIT) -> bool:
        """Close the pipe and wait until the supervisor has cleaned up; after `limit` seconds it is killed.

        Returns:
            Whether it ended by itself, so that everything is cleaned up.
        """
        self._close_pipe()
        try:
            return self._process.wait(min(limit, _SILENT_LIMIT) if self._silent else limit) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._wait_after(_KILL_LIMIT)
            return False

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    def detach(self, limit: float) -> bool:
        """Close the pipe, and let the supervisor clean up, even beyond the end of this process.

        Returns:
            Whether it ended within `limit` seconds, so that everything is cleaned up.
        """
        self._close_pipe()
        return self._wait_after(limit)

    def _wait_after(self, limit: float) -> bool:
        """Wait for its end, after `limit` seconds in the background; return whether it ended in time, by itself."""
        try:
            return self._process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            # else it would become a zombie
            threads.start(threading.Thread(target=self._process.wait, name="pgchaos supervisor", daemon=True))
            return False

    def _close_pipe(self) -> None:
        """Close the pipe, before a fork may ignore it: else its child would hold it open."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # nobody reads the rest of a request
                    stream.close()
        _open.discard(self)


def _close_in_child() -> None:
    for client in list(_open):
        client._close_pipe()


os.register_at_fork(after_in_child=_close_in_child)
