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
_PART = 65536
_LENGTH = 8  # bytes that tell the length of what follows
_LOOK = 1.0  # seconds between looks whether the child is stopped; it is killed at the second that finds it so
_TO_END = 10.0  # seconds in which a child that has sent all ends; after these it is killed


def can_fork() -> bool:
    """Say whether a child can be made here that keeps none of our files open: it needs /proc to find them."""
    return _DESCRIPTORS.exists()


class Channel:
    """Sends and receives objects. At each end one thread sends, and one receives.

    Args:
        reading: descriptor of the pipe to read from.
        writing: descriptor of the pipe to write to.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self.look: Callable[[], None] = lambda: None  # called while the other end keeps this one waiting

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when there is something to receive."""
        return self._reading

    def has_some(self, seconds: float | None, stop: Stop | None = None) -> bool:
        """Say whether there is something to receive, or the other end is gone.

        Args:
            seconds: to wait for it at most; None for as long as it takes.
            stop: ends the wait when it is set.
        """
        ready = self._wait(self._reading, select.POLLIN, seconds, stop)
        return any(number == self._reading for number, _ in ready)

    def _wait(
        self, descriptor: int, event: int, seconds: float | None = None, stop: Stop | None = None
    ) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(descriptor, event)
        if stop is not None:
            poll.register(stop.fileno(), select.POLLIN)
        if seconds is not None:
            return poll.poll(seconds * 1000)
        while not (ready := poll.poll(_LOOK * 1000)):
            self.look()
        return ready

    def is_closed_within(self, seconds: float) -> bool:
        """Throw away what is sent until the other end is gone; say whether that is within some seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.has_some(left) and not os.read(self._reading, _PART):
                return True
        return False

    def send(self, message: object) -> None:
        """Send an object; wait where the pipe is full.

        Raises:
            OSError: the other end is gone.
        """
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        left = memoryview(len(data).to_bytes(_LENGTH, "big") + data)
        while left:
            self._wait(self._writing, select.POLLOUT)
            with suppress(BlockingIOError):  # there is less room than one write needs
                left = left[os.write(self._writing, left) :]

    def receive(self) -> object:
        """Wait for the next object.

        Raises:
            EOFError: the other end is gone.
        """
        return pickle.loads(self._read(int.from_bytes(self._read(_LENGTH), "big")))  # of our own child

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            self._wait(self._reading, select.POLLIN)
            part = os.read(self._reading, length)
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reading)
        os.close(self._writing)


class Forked:
    """A child, which does one thing and ends. It has a copy of this process, but none of its files and threads.

    What else it inherits it must not use: a lock may be held by a thread that it has not, a connection is ours.

    Args:
        work: to do in the child; its end of the channel is given. What it raises ends the child with status 1.

    Attributes:
        channel: our end. A child that a signal has stopped (SIGSTOP) while it is waited for is killed.
        was_stopped: it was killed for that reason.

    Raises:
        OSError: no process or no pipe is to be had.
    """

    def __init__(self, work: Callable[[Channel], None]) -> None:
        ours, childs = _channels()
        # no signal of ours may be handled by Python in the child before it has its own handlers
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                # from Python 3.12 on of threads: their locks are not used in the child
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
        os.set_blocking(ours._writing, False)  # a write that a stopped child does not take would wait for ever
        ours.look = self._end_if_stopped
        self.was_stopped = False
        self._found_stopped = 0  # looks in a row
        self._status: int | None = None

    def kill(self) -> None:
        """End it at once; nothing happens where it has ended."""
        if self._status is None:
            with suppress(ProcessLookupError):  # another part of this process has waited for all children
                os.kill(self.pid, signal.SIGKILL)

    def _end_if_stopped(self) -> None:
        """Kill it if it is stopped at two looks in a row: Ctrl-Z stops both, and both go on at nearly the same time."""
        try:
            state = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # another part of this process has waited for it
            return
        self._found_stopped = 0 if state is None else self._found_stopped + 1
        if self._found_stopped > 1:
            self.was_stopped = True
            self.kill()

    def wait(self) -> int:
        """Wait for its end, kill it where it does not end soon, and give the descriptors back.

        Returns:
            Its status, negative where a signal has ended it.
        """
        if self._status is None:
            if not self.channel.is_closed_within(_TO_END):
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
        # what is collected closes files by numbers that are others' now
        gc.freeze()
        _give_up_files({channel.fileno(), channel._writing})
        _ignore_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        work(channel)
        code = 0
    finally:
        # not by a normal end: what is registered for it, and what is buffered, is the parent's
        os._exit(code)


def _give_up_files(kept: set[int]) -> None:
    """Put nothing in the place of each file of the parent: who waits for the end of one waits for the parent alone.

    The numbers stay taken, as objects that the parent has made may still close them.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in _DESCRIPTORS.iterdir()]:
        if number not in {nothing, *kept}:
            os.dup2(nothing, number)


def _ignore_signals() -> None:
    """Leave Ctrl-C to the parent, and have no handler of its own called."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
