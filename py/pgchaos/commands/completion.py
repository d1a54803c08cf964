"""`pgchaos completion`: a script that completes the command line, which shtab makes from the parser."""

from __future__ import annotations

import argparse

import shtab

from pgchaos.commands.arguments import PYTEST_COMMANDS, build_parser
from pgchaos.commands.docs import pages
from pgchaos.commands.run import recorded_options

_PATHS = {
    **dict.fromkeys(("words", "paths", "file"), shtab.FILE),
    **dict.fromkeys(("folder", "copy", "pg_bindir"), shtab.DIRECTORY),
}


def completion(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    parser = build_parser()
    for name, command in _commands(parser).items():
        if name in PYTEST_COMMANDS:
            for flag, settings in recorded_options():
                command.add_argument(flag, **settings)
        for action in command._actions:  # argparse has no public list of them
            if action.nargs != 0 and action.dest in _PATHS:
                action.complete = _PATHS[action.dest]  # type: ignore[attr-defined]  # an attribute of shtab's
            elif action.dest == "topic":
                action.choices = list(pages())
    print(shtab.complete(parser, options.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (group,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return dict(group.choices)
