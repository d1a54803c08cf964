"""What programs start ends with the process that ran them, whatever ends that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from pgchaos.posix.group_guard import GroupGuard
from pgchaos.posix.processes import look_up
from tests.waiting import until

RUNNER = """
import subprocess, sys
from pgchaos.posix.group_guard import GroupGuard

guard = GroupGuard()
started = []
for own in (False, True):
    # the second has a child that leaves the group
    command = "setsid sleep 3600 & echo $!; exec sleep 3600" if own else "sleep 3600 & echo $!; exec sleep 3600"
    program = subprocess.Popen(
        ["/bin/sh", "-c", command], stdout=subprocess.PIPE, start_new_session=True, env=dict(guard.environment)
    )
    guard.add(program.pid)
    started += [program.pid, int(program.stdout.readline())]
print(*started, flush=True)
if sys.stdin.readline() == "close\\n":
    guard.close()
    print("closed", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["close", "kill"])
def test_all_that_programs_start_ends(end: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        pids = list(map(int, runner.stdout.readline().split()))
        assert len(pids) == 4
        assert all(map(look_up, pids))
        if end == "kill":
            runner.send_signal(signal.SIGKILL)
        else:
            runner.stdin.write("close\n")
            runner.stdin.flush()
            assert runner.stdout.readline() == "closed\n"
            until(lambda: not any(map(look_up, pids)), "all have ended, and the runner goes on")
            runner.stdin.write("\n")
            runner.stdin.flush()
        until(lambda: not any(map(look_up, pids)), "all have ended")


@pytest.mark.parametrize("then", ["another", "close"])
def test_a_guard_that_is_killed_is_followed_by_another(then: str) -> None:
    guard = GroupGuard()

    def started(command: str) -> list[int]:
        program = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **guard.environment},
        )
        stack.enter_context(program)
        guard.add(program.pid)
        assert program.stdout is not None
        return [program.pid, int(program.stdout.readline())]

    with ExitStack() as stack:
        pids = started("setsid sleep 3600 > /dev/null & echo $!; exec sleep 3600 > /dev/null")
        guard._shell.kill()
        guard._shell.wait()
        if then == "another":
            pids += started("sleep 3600 > /dev/null & echo $!; exec sleep 3600 > /dev/null")
            assert guard._shell.poll() is None
        guard.close()
        until(lambda: not any(map(look_up, pids)), "all have ended")
