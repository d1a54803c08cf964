"""How a command ends."""

from __future__ import annotations

DONE, FOUND, WRONG_CALL, BROKEN_PIPE, INTERRUPTED = 0, 1, 2, 141, 130
"""The exit codes of all commands but `run` and `replay`, which exit as pytest does.

Done; it found a problem; it cannot do what was asked, as argparse says it; nobody reads its output any more; Ctrl-C.
The last two are what a shell reports of a program that ends by SIGPIPE or SIGINT.
"""


class CommandError(Exception):
    """A command cannot do what was asked: what is wrong, and what to do."""
