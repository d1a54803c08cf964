"""How a command ends."""

from __future__ import annotations

DONE, FOUND, WRONG_CALL, BROKEN_PIPE, INTERRUPTED = 0, 1, 2, 141, 130
"""The exit codes of all commands but `run` and `replay`, which exit as pytest does.

Done; a problem was found; it cannot do what was asked, as for argparse; its output was closed; Ctrl-C.
The last two are what a shell reports for a program that SIGPIPE or SIGINT ended.
"""


class CommandError(Exception):
    """A command cannot do what was asked; the message says what is wrong, and what to do."""
