"""One process of a program in the loop of its run: its output by pipes, its end by a pidfd, its process group."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pgchaos.engine.blocking import in_thread
from pgchaos.engine.loop import Task, begin
from pgchaos.engine.waits import Wait, sleep
from pgchaos.posix.group_guard import GroupGuard, kill_group
from pgchaos.stop import Stop

_CHUNK = 65536
_MOST = 256 * 1024
"""Bytes of each output that are kept, from the end."""
_CHECK_INTERVAL = 0.005
"""Seconds between checks of a process without a pidfd."""
_DRAIN = 1.0
"""Seconds to read the rest of the output of an ended program; a process that left its group may hold the pipe open."""


class CannotStart(Exception):
    """The command cannot be run."""


class CannotEnd(Exception):
    """The process still runs."""


class ProgramProcess:
    """A running process; `start` makes one.

    Args:
        process: the process.
        guard: of its group.
    """

    def __init__(self, process: subprocess.Popen[bytes], guard: GroupGuard) -> None:
        self._process, self._guard = process, guard
        self.pid = process.pid
        self.status: int | None = None
        """Its exit status once it has ended; 128 plus the signal that ended it, as in shells."""
        self._output = _Output(process.stdout.fileno() if process.stdout else -1)
        self._errors = _Output(process.stderr.fileno() if process.stderr else -1)
        self._readers: list[Task[None]] = [begin(self._output.read()), begin(self._errors.read())]

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, environment: Mapping[str, str], guard: GroupGuard
    ) -> ProgramProcess:
        """Start a command without a shell, in a process group of its own.

        Args:
            command: its words.
            folder: its working directory.
            environment: the whole environment.
            guard: kills its group in any case.

        Raises:
            CannotStart: the command cannot be run.
        """

        def started() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, **guard.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                guard.add(process.pid)
            except (OSError, ValueError):
                with process:
                    kill_group(process.pid)
                raise
            return process

        try:
            return cls(await in_thread(started, "program"), guard)
        except FileNotFoundError:
            if not folder.is_dir():
                raise CannotStart(f"the folder {folder} does not exist") from None
            if "/" in command[0]:
                raise CannotStart(f"there is no file `{command[0]}`, seen from the folder {folder}") from None
            path = environment.get("PATH", os.defpath)
            raise CannotStart(f"there is no command `{command[0]}` in PATH ({path})") from None
        except (OSError, ValueError) as error:
            raise CannotStart(f"`{command[0]}` cannot be run: {error}") from None

    @property
    def output(self) -> list[str]:
        """The last lines of its standard output so far."""
        return self._output.lines()

    @property
    def errors(self) -> list[str]:
        """The last lines of its standard error so far."""
        return self._errors.lines()

    async def ends(self, stop: Stop) -> bool:
        """Wait until it has ended; False if the stop was set first."""
        with _exit_descriptor(self.pid) as fd:
            while not (ended := _has_ended(self.pid)) and not stop.is_set():
                await (sleep(_CHECK_INTERVAL, stop) if fd is None else Wait(fd, select.POLLIN, stop=stop))
        return ended

    async def finish(self) -> int:
        """Kill what is left of its group, read the rest of its output, and return its status.

        Raises:
            CannotEnd: it runs as another user now.
        """
        if self.status is None:
            try:
                self._guard.remove(self.pid)
            except PermissionError:
                if not _has_ended(self.pid):
                    await self._stop_reading(0.0)
                    raise CannotEnd(f"process {self.pid} runs as another user, so only root can kill it") from None
            # it was killed, or is a zombie: this returns at once
            status = await in_thread(self._process.wait, "program")
            self.status = 128 - status if status < 0 else status
            await self._stop_reading(_DRAIN)
        return self.status

    async def _stop_reading(self, within: float) -> None:
        deadline = time.monotonic() + within
        for task in self._readers:
            await task.ends(max(0.0, deadline - time.monotonic()))
        for output in (self._output, self._errors):
            output.close()
        for task in self._readers:
            await task.ends()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def describe_status(status: int) -> str:
    """Describe an exit status: `exit status 1`, with the name of a signal."""
    if status <= 128:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):  # a number of no signal
        return f"exit status {status} ({signal.Signals(status - 128).name})"
    return f"exit status {status}"


def _has_ended(pid: int) -> bool:
    """Whether a child has ended. It is not reaped, so that its pid is not reused."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


@contextlib.contextmanager
def _exit_descriptor(pid: int) -> Iterator[int | None]:
    """Open a pidfd, which becomes readable when a child ends; None if the kernel has none."""
    fd = None
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # before Linux 5.3
            fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


class _Output:
    """The last output of a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd, self._wait, self._closed = fd, Wait(fd, select.POLLIN), False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        os.set_blocking(fd, False)

    async def read(self) -> None:
        """Read to its end, or until it is closed."""
        while not self._closed:
            await self._wait
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:  # poll may report data that is not there: wait again
                continue
            if not data:
                return
            self._chunks.append(data)
            self._size += len(data)
            while self._size - len(self._chunks[0]) > _MOST:
                self._size -= len(self._chunks.popleft())

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._wait.wake()

    def lines(self) -> list[str]:
        return b"".join(self._chunks)[-_MOST:].decode("utf-8", "replace").splitlines()
