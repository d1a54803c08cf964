"""Runs the command of the command line. What a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys

from pgchaos.commands.arguments import COMMANDS, PYTEST_COMMANDS, build_parser
from pgchaos.commands.errors import BROKEN_PIPE, INTERRUPTED, WRONG_CALL, CommandError

# Options of earlier versions without commands. Makefiles and hooks of projects use them.
_FORMER = {
    "--lint": ("lint",),
    "--scenarios": ("table",),
    "--new": ("new",),
    "--docs": ("docs", "--paths"),
    "--directives": ("directives",),
    "--examples": ("examples", "--folder"),
    "--makefile": ("makefile",),
}
_HELP = frozenset({"-h", "--help"})


def main(arguments: list[str] | None = None) -> int:
    """Run the program with these arguments, or those of the process.

    Returns the exit code: pytest's for `run` and `replay`, else one of those in `errors`. argparse raises SystemExit
    for unknown arguments (2), `--help` and `--version` (0).
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    name = ""
    _write_in_any_encoding()
    try:
        words = [*_FORMER.get(given[0], (given[0],)), *given[1:]] if given else ["--help"]
        name = words[0]
        code = _run(words)
        if sys.stdout is not None:  # None if it was closed (`>&-`)
            sys.stdout.flush()
    except CommandError as error:
        print(f"pgchaos {name}: {error}", file=sys.stderr)
        return WRONG_CALL
    except KeyboardInterrupt:
        _discard_output()  # Ctrl-C may have ended its reader too
        print(f"pgchaos {name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        _discard_output()
        what = f"{error.filename}: " if error.filename else "the output cannot be written: "
        print(f"pgchaos {name}: {what}{error.strerror}", file=sys.stderr)
        return WRONG_CALL
    return code


def _write_in_any_encoding() -> None:
    """Write characters that the terminal's encoding lacks as escapes, as Python does on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(words: list[str]) -> int:
    if words[0] in PYTEST_COMMANDS and _HELP.isdisjoint(words):
        # pytest parses its options itself
        options = argparse.Namespace(command=words[0], words=words[1:])
    else:
        options = build_parser().parse_args(words)
    name = options.command
    module = importlib.import_module(f"pgchaos.commands.{COMMANDS[name].module or name}")
    return int(getattr(module, name)(options))


def _discard_output() -> None:
    """Redirect stdout to /dev/null, so that Python's flush at exit does not fail."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        # stdout is not a file, so nothing is flushed
        return
