"""Runs functions of a Python test as programs: each in a thread, with a connection string."""

from __future__ import annotations

import asyncio
import inspect
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import PurePath

from pgchaos.engine.applications.client import Address
from pgchaos.engine.applications.dsn import session_dsn
from pgchaos.engine.applications.worker import Worker
from pgchaos.engine.blocking import ThreadWork, begin_in_thread
from pgchaos.engine.waits import Wait
from pgchaos.posix.activity import ActivityProbe
from pgchaos.results import Failure, FailureKind
from pgchaos.stop import Stop

_LEAVE = 3.0
"""Seconds for a function to end after its connections have ended."""
_SHOWN = 20
"""Lines of a traceback."""
_OWN = (os.path.join("pgchaos", "engine"), f"{os.sep}threading.py")  # noqa: PTH118  # a part of a path


class FunctionLauncher:
    """Calls a function for one worker.

    Args:
        worker: of the session.
        function: to call; a coroutine function runs in its own event loop.
    """

    def __init__(self, worker: Worker, function: Callable[[str], object]) -> None:
        self._worker, self._function = worker, function
        self.command = worker.program.text

    async def start(self, address: Address, iteration: int) -> RunningFunction:  # noqa: ARG002  # a function has only one iteration
        """See Launcher."""
        function, dsn = self._function, session_dsn(address)

        def called() -> None:
            returned = function(dsn)
            if inspect.iscoroutine(returned):
                asyncio.run(returned)

        return RunningFunction(self._worker, begin_in_thread(called, self.command))


class RunningFunction:
    """A running function.

    Args:
        worker: that it runs for.
        work: the call.
    """

    def __init__(self, worker: Worker, work: ThreadWork[None]) -> None:
        self._worker, self._work = worker, work
        self._ended = False
        self.probe = ActivityProbe(os.getpid(), lambda: work.native_id)

    async def ends(self, stop: Stop) -> bool:
        """See RunningProgram."""
        while not (self._work.over.is_set() or stop.is_set()):
            await Wait(self._work.over.fileno(), select.POLLIN, stop=stop)
        self._ended = self._work.over.is_set()
        if not self._ended:
            self._note_where()
        return self._ended

    def _note_where(self) -> None:
        """After a timeout, record where the function is, before its connections end."""
        worker, log = self._worker, self._worker.context.log
        frames = _lines(traceback.extract_stack(sys._current_frames().get(self._work.ident or 0)))
        if frames and any(failure.kind == "timeout" for failure in log.failures):
            text = f"{worker.actor} was in {frames[-1]}"
            log.failures.append(Failure("timeout", (), text, worker.program.place, frames, session=str(worker.actor)))

    async def finish(self) -> Failure | None:
        """See RunningProgram."""
        work, worker = self._work, self._worker
        deadline = time.monotonic() + _LEAVE
        while not work.over.is_set() and time.monotonic() < deadline:
            await Wait(work.over.fileno(), select.POLLIN, deadline)
        if not work.over.is_set():
            # a thread cannot be killed; its connections have ended
            worker.act("it still runs, though its connections have ended", worker.program.place)
            return None
        try:
            work.result()
        except BaseException as error:
            return self._failure(error) if self._ended else None
        finally:
            work.over.close()
        return None

    def _failure(self, error: BaseException) -> Failure:
        worker, name = self._worker, type(error).__name__
        message = (str(error).strip().splitlines() or [""])[0]
        text = f"{worker.actor}: {f'{name}: {message}' if message else name}"
        state = getattr(error, "sqlstate", None)
        names = tuple(filter(None, (state if isinstance(state, str) else None, name)))
        kind: FailureKind = "assertion" if isinstance(error, AssertionError) else "error"
        frames = _lines(traceback.extract_tb(error.__traceback__))
        return Failure(kind, names, text, worker.program.place, frames, session=str(worker.actor))


def _lines(frames: traceback.StackSummary) -> tuple[str, ...]:
    """Write the frames outside of pgchaos, the innermost last."""
    theirs = [frame for frame in frames if not any(part in frame.filename for part in _OWN)]
    return tuple(f"{PurePath(one.filename).name}:{one.lineno} in {one.name}: {one.line}" for one in theirs[-_SHOWN:])
