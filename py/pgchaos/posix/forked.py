"""Work in a child that is forked from this process: both exchange objects, and the child ends with this process."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pgchaos.stop import Stop

_DESCRIPTORS = Path("/proc/self/fd")
_READ_SIZE = 65536
_LENGTH = 8  # bytes of the length before each object
_CHECK_INTERVAL = 1.0  # seconds between checks whether the child is stopped; two positive ones in a row kill it
_TO_END = 10.0  # seconds for a child that has sent all to end, before it is killed


def can_fork() -> bool:
    """Whether a forked child can redirect our descriptors: it needs /proc to find them."""
    return _DESCRIPTORS.exists()


class Channel:
    """Two pipes, one for each direction. At each end one thread sends, and one receives.

    multiprocessing's connections cannot be used: one end must not wait without limit for the rest of an object, or for
    space in the pipe, when the process at the other end is stopped.

    Args:
        reader: descriptor of the pipe to read from.
        writer: descriptor of the pipe to write to.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self.check_other_end: Callable[[], None] = lambda: None
        """Called at intervals during each wait without a limit."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something to receive."""
        return self._reader

    def poll(self, seconds: float | None, stop: Stop | None = None) -> bool:
        """Wait until there is something to receive, or the other end is closed; return whether there is.

        Args:
            seconds: to wait at most; None: without a limit.
            stop: ends the wait when it is set.
        """
        ready = self._wait(self._reader, select.POLLIN, seconds, stop)
        return any(number == self._reader for number, _ in ready)

    def _wait(
        self, descriptor: int, event: int, seconds: float | None = None, stop: Stop | None = None
    ) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(descriptor, event)
        if stop is not None:
            poll.register(stop.fileno(), select.POLLIN)
        if seconds is not None:
            return poll.poll(seconds * 1000)
        while not (ready := poll.poll(_CHECK_INTERVAL * 1000)):
            self.check_other_end()
        return ready

    def drain(self, seconds: float) -> bool:
        """Read and drop what is sent until the other end is closed; return whether that is within some seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.poll(left) and not os.read(self._reader, _READ_SIZE):
                return True
        return False

    def send(self, message: object) -> None:
        """Send an object; wait while the pipe is full.

        Raises:
            OSError: the other end is closed.
        """
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        left = memoryview(len(data).to_bytes(_LENGTH, "big") + data)
        while left:
            self._wait(self._writer, select.POLLOUT)
            with suppress(BlockingIOError):  # there is less space than one write needs
                left = left[os.write(self._writer, left) :]

    def receive(self) -> object:
        """Wait for the next object.

        Raises:
            EOFError: the other end is closed.
        """
        return pickle.loads(self._read(int.from_bytes(self._read(_LENGTH), "big")))  # of our own child

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            self._wait(self._reader, select.POLLIN)
            part = os.read(self._reader, length)
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close both pipes."""
        os.close(self._reader)
        os.close(self._writer)


class Forked:
    """A child process that does one thing and ends. It has a copy of this process, without its files and threads.

    It must not use what else it inherits: a thread that the child does not have may hold a lock, and connections
    belong to the parent.

    Args:
        work: called in the child with its end of the channel. An exception ends the child with status 1.

    Attributes:
        channel: the parent's end. A child that a signal has stopped (SIGSTOP) is killed if the parent waits for it.
        was_stopped: the child was killed for that reason.

    Raises:
        OSError: the system refuses a process or a pipe.
    """

    def __init__(self, work: Callable[[Channel], None]) -> None:
        ours, childs = _channels()
        # until the child has its own handlers, Python must not run ours there
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                # Python 3.12 and newer warn of threads: the child does not use their locks
                warnings.simplefilter("ignore", DeprecationWarning)
                self.pid = os.fork()
            if not self.pid:
                _work(work, childs, before)
        except BaseException:  # Ctrl-C too: a child that was made ends by it
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            childs.close()
        self.channel = ours
        os.set_blocking(ours._writer, False)  # a write to a stopped child would block for ever
        ours.check_other_end = self._kill_if_stopped
        self.was_stopped = False
        self._found_stopped = 0  # checks in a row
        self._status: int | None = None

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if self._status is None:
            with suppress(ProcessLookupError):  # another part of this process has waited for all children
                os.kill(self.pid, signal.SIGKILL)

    def _kill_if_stopped(self) -> None:
        """Kill it if two checks in a row find it stopped: Ctrl-Z stops both processes, and both continue together."""
        try:
            state = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # another part of this process has waited for it
            return
        self._found_stopped = 0 if state is None else self._found_stopped + 1
        if self._found_stopped > 1:
            self.was_stopped = True
            self.kill()

    def wait(self) -> int:
        """Wait until it has ended, kill it if it does not end soon, and close the channel.

        Returns:
            Its exit status; negative: the signal that ended it.
        """
        if self._status is None:
            if not self.channel.drain(_TO_END):
                self.kill()
            try:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:
                # another part of this process waits for all children
                self._status = 0
            self.channel.close()
        return self._status


def _channels() -> tuple[Channel, Channel]:
    down = os.pipe()
    try:
        up = os.pipe()
    except OSError:
        for one in down:
            os.close(one)
        raise
    return Channel(up[0], down[1]), Channel(down[0], up[1])


def _work(work: Callable[[Channel], None], channel: Channel, signals: set[int]) -> None:
    """Do the work in the child, and end it."""
    code = 1
    try:
        # a collected object would close a descriptor whose number is in use for something else
        gc.freeze()
        _redirect_files({channel.fileno(), channel._writer})
        _ignore_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        work(channel)
        code = 0
    finally:
        # not sys.exit(): the exit handlers and the buffered output are the parent's
        os._exit(code)


def _redirect_files(kept: set[int]) -> None:
    """Redirect every other inherited descriptor to /dev/null: its peer sees end-of-file when the parent closes it.

    The numbers stay in use, because inherited objects may still close them.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in _DESCRIPTORS.iterdir()]:
        if number not in {null, *kept}:
            os.dup2(null, number)


def _ignore_signals() -> None:
    """Leave Ctrl-C to the parent, and remove its handlers."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
