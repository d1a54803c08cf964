"""Ends process groups when the process that started them has ended, for whatever reason.

A shell of its own reads the groups from a pipe. When the pipe closes, it kills those that are left: after SIGKILL of
the runner too. What has left its group is found by a mark in its environment, where there is /proc.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping

MARK = "CHAOS_GROUP"
"""The variable in the environment of everything that a guarded program starts."""
_SCRIPT = r"""
groups=
while read -r sign group; do
    rest=
    for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done
    groups=$rest
    [ "$sign" = + ] && groups="$groups $group"
done
for one in $groups; do kill -9 -- "-$one"; done
[ -d /proc/self ] || exit
for turn in 1 2 3; do
    found=$(grep -lzxF -e "$1" /proc/[0-9]*/environ)
    [ "$found" ] || exit
    for file in $found; do number=${file#/proc/}; kill -9 "${number%/environ}"; done
done
"""


class GroupGuard:
    """Guards the process groups that are put in; `close` ends the guard, and all that is left of the programs.

    That ends too when this process is killed.
    """

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._guard = self._started()
        self._groups: set[int] = set()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "pgchaos", f"{MARK}={self._mark}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C of the terminal is for its foreground processes
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """What the environment of a guarded program must hold."""
        return {MARK: self._mark}

    def add(self, group: int) -> None:
        """Guard a process group, whose leader this process has started.

        Raises:
            OSError: it is not guarded: somebody has killed the guard, and another cannot be started.
            ValueError: nor is it where this is closed.
        """
        self._groups.add(group)
        try:
            self._tell(f"+ {group}\n")
        except BrokenPipeError:  # somebody has killed it
            self._end_guard()
            self._guard = self._started()
            self._tell("".join(f"+ {one}\n" for one in self._groups))

    def remove(self, group: int) -> None:
        """Kill what is left of a group, and guard it no more.

        Args:
            group: its leader must not have been waited for before.

        Raises:
            PermissionError: all of it are processes of another user.
        """
        if group in self._groups:
            self._groups.discard(group)
            kill_group(group)
            with contextlib.suppress(BrokenPipeError):  # a killed guard would not have ended it later
                self._tell(f"- {group}\n")

    def _tell(self, lines: str) -> None:
        assert self._guard.stdin is not None, "a pipe"
        self._guard.stdin.write(lines.encode())
        self._guard.stdin.flush()

    def close(self) -> None:
        """Kill what is left, and end the guard; doing so again does nothing."""
        for group in tuple(self._groups):
            with contextlib.suppress(PermissionError):  # told where its program was to end
                self.remove(group)
        if self._end_guard() < 0:
            # somebody has killed it: another ends what has left its group
            self._guard = self._started()
            self._end_guard()

    def _end_guard(self) -> int:
        """Have it do its work and end; give its status, negative where it was killed."""
        assert self._guard.stdin is not None, "a pipe"
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()
        return self._guard.wait()


def kill_group(group: int) -> None:
    """Kill a process group; nothing happens where it has ended.

    Raises:
        PermissionError: all of it are processes of another user.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
