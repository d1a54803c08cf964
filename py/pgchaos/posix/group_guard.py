"""Kills process groups when the process that started them has ended, for whatever reason.

A shell reads the groups from a pipe. When the pipe closes, also by SIGKILL of the runner, it kills the groups that are
left. Where there is /proc, it finds processes that have left their group by a variable in their environment.
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
    """Kills the process groups added to it on `close`, or when this process ends, by SIGKILL too."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._shell = self._start_shell()
        self._groups: set[int] = set()

    def _start_shell(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "pgchaos", f"{MARK}={self._mark}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # the terminal sends Ctrl-C to its foreground processes
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that a guarded program must have in its environment."""
        return {MARK: self._mark}

    def add(self, group: int) -> None:
        """Guard a process group, whose leader this process has started.

        Raises:
            OSError: it is not guarded: the shell was killed, and another cannot be started.
            ValueError: it is not guarded, because this is closed.
        """
        self._groups.add(group)
        try:
            self._write(f"+ {group}\n")
        except BrokenPipeError:  # the shell was killed from outside
            self._end_shell()
            self._shell = self._start_shell()
            self._write("".join(f"+ {one}\n" for one in self._groups))

    def remove(self, group: int) -> None:
        """Kill what is left of a group, and stop guarding it.

        Args:
            group: its leader must not have been waited for before.

        Raises:
            PermissionError: all its processes belong to another user.
        """
        if group in self._groups:
            self._groups.discard(group)
            kill_group(group)
            with contextlib.suppress(BrokenPipeError):  # a killed shell would not have killed the group later
                self._write(f"- {group}\n")

    def _write(self, lines: str) -> None:
        assert self._shell.stdin is not None, "a pipe"
        self._shell.stdin.write(lines.encode())
        self._shell.stdin.flush()

    def close(self) -> None:
        """Kill what is left, and end the shell. Idempotent."""
        for group in tuple(self._groups):
            with contextlib.suppress(PermissionError):  # reported when its program was to end
                self.remove(group)
        if self._end_shell() < 0:
            # the shell was killed from outside: a new one kills what has left its group
            self._shell = self._start_shell()
            self._end_shell()

    def _end_shell(self) -> int:
        """Close the pipe and wait: the shell kills what is left. Return its status, negative if it was killed."""
        assert self._shell.stdin is not None, "a pipe"
        with contextlib.suppress(BrokenPipeError):  # the shell was killed
            self._shell.stdin.close()
        return self._shell.wait()


def kill_group(group: int) -> None:
    """Kill a process group, unless it has ended.

    Raises:
        PermissionError: all its processes belong to another user.
    """
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(group, signal.SIGKILL)
