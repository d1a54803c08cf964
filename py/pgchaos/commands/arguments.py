"""The command line: the commands with their arguments and help. Fast to load: `--help` needs nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from pgchaos import __version__

_OF_PYTEST = "0 all passed, 1 some failed, 2 interrupted, 3 internal error, 4 wrong call, 5 no scenario was found"
_OF_ALL = "2 it could not do what was asked; 130 interrupted by Ctrl-C; 141 the output was closed"
_FOUND = {
    "lint": "0 no error; 1 an error, or with --strict a warning",
    "explain": "0 done; 1 a mistake in the file",
    "table": "0 done; 1 a mistake in a file",
}


class Command(NamedTuple):
    """One command: its help, the function that adds its arguments if it has any, and the module that runs it."""

    help: str
    add: Callable[[argparse.ArgumentParser], None] | None = None
    about: str = ""  # more text for its own `--help`
    module: str = ""  # of the function, which has the command's name; '' if the module has that name too


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="PATH or OPTION", help="files, folders and options, passed on to pytest as they are"
    )


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TOKEN [PATH or OPTION]",
        help="the token that the report of a failure ends with, or @FILE with it; the files and folders to look in"
        " (default: chaos_paths, which is sql); options, passed on to pytest as they are",
    )


def _new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        help="bank/double_charge is the file sql/bank/double_charge.sql; a path with .sql is itself",
    )
    parser.add_argument(
        "--kind", choices=KINDS, help="what it is about: " + "; ".join(f"{k} = {v}" for k, v in KINDS.items())
    )
    parser.add_argument("--title", help="its title (default: made of NAME)")
    parser.add_argument(
        "--connections", type=int, metavar="N", help="clients at once, where the kind has several (default: 2)"
    )
    parser.add_argument("--tags", metavar="TAG…", help="more tags, such as 'slow smoke'")
    parser.add_argument("--no-questions", action="store_true", help="take defaults, also on a terminal")


KINDS = {
    "race": "clients do the same at once, met by a barrier",
    "order": "one certain order of the steps",
    "all": "every order of the steps",
    "search": "a search for the order that breaks it, judged by an oracle",
    "crash": "a server that dies during COMMIT",
}
"""The templates of `pgchaos new`, each with its subject."""


def _path(text: str) -> str:
    """Refuse an empty path: it would mean the current directory, or that the option is not given."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; is a variable of the shell not set?")
    return text


def _lint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="*", type=_path, metavar="PATH", help="files and folders (default: chaos_paths, which is sql)"
    )
    parser.add_argument("--strict", action="store_true", help="warnings count too: exit code 1")
    parser.add_argument(
        "--tag", action="append", default=[], help="a further tag that scenarios may have, beside ini chaos_tags"
    )
    parser.add_argument("--rules", action="store_true", help="print all rules and what each means")


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=_path, metavar="FILE", help="a scenario")
    parser.add_argument(
        "--server",
        nargs="?",
        const="",
        metavar="DSN",
        help="run its setup on a private server, or on the server of DSN in a database created for it, and ask what"
        " else its steps touch: by triggers, foreign keys, views, defaults",
    )
    parser.add_argument("--pg-bindir", type=_path, metavar="DIR", help="start the private server with these programs")


def _docs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="a page, or a word that one page's name begins with")
    parser.add_argument("--paths", action="store_true", help="print the paths of the pages")


def _examples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", nargs="?", default="", metavar="PATTERN", help="words that path, title or directives must contain"
    )
    shows = parser.add_mutually_exclusive_group()
    shows.add_argument("--show", action="store_true", help="print the files themselves")
    shows.add_argument(
        "--copy",
        type=_path,
        metavar="DIR",
        help="copy the files, and those they include or run, into this folder, which need not exist; "
        "files of several folders keep their folders",
    )
    shows.add_argument("--folder", action="store_true", help="print only the path of the folder that holds them all")


def _table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=_path, metavar="FOLDER", help="whose scenarios are listed, also in folders below it"
    )
    parser.add_argument("--tag", action="append", default=[], help="a further tag that scenarios may have")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")


PYTEST_COMMANDS = ("run", "replay")
"""The commands that pass their options to pytest."""

COMMANDS = {
    "run": Command(
        "run scenarios, by pytest",
        _run,
        "Without a path: those below chaos_paths (ini key; default: sql), where that is a folder.",
    ),
    "new": Command(
        "write a scenario that runs, from a template", _new, "On a terminal it asks for what no option gives."
    ),
    "lint": Command("find mistakes in scenarios, without a server", _lint),
    "explain": Command("say what a scenario does: sessions, steps, interleavings, faults, needs", _explain),
    "replay": Command("run the one order again that a report's token names", _replay, module="run"),
    "docs": Command("list the documentation, or print a page of it", _docs),
    "examples": Command("list, print or copy the scenarios of the package", _examples),
    "directives": Command("print the tables of all directives and faults", module="docs"),
    "table": Command("print a table of the scenarios in a folder, in Markdown", _table),
    "makefile": Command(
        "print the path of what adds installcheck-chaos to a Makefile: include $(shell python3 -m pgchaos makefile)",
        module="docs",
    ),
    "completion": Command(
        "print what completes this command line in a shell",
        _completion,
        'bash: source <(pgchaos completion bash) in ~/.bashrc.   zsh: pgchaos completion zsh >"${fpath[1]}/_pgchaos".'
        "   fish: pgchaos completion fish >~/.config/fish/completions/pgchaos.fish",
    ),
}
"""Every command by its name, in the order of the help."""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line; `command` of its result is the command."""
    parser = argparse.ArgumentParser(
        "pgchaos",
        description="Chaos testing for PostgreSQL, written in SQL. `pgchaos COMMAND --help` says more of each command.",
        epilog=f"exit codes: 0 done; 1 a problem was found; {_OF_ALL}. `run` and `replay` exit as pytest does:"
        f" {_OF_PYTEST}.",
    )
    parser.add_argument("--version", action="version", version=f"pgchaos {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser)
    for name, command in COMMANDS.items():
        about = f"{command.help[:1].upper()}{command.help[1:]}. {command.about}".strip()
        command_parser = commands.add_parser(name, help=command.help, description=about, epilog=_exit_codes(name))
        if command.add is not None:
            command.add(command_parser)
    return parser


def _exit_codes(name: str) -> str:
    if name in PYTEST_COMMANDS:
        return f"exit codes: {_OF_PYTEST}"
    return f"exit codes: {_FOUND.get(name, '0 done')}; {_OF_ALL}"


class _CommandParser(argparse.ArgumentParser):
    """The parser of one command."""

    def format_help(self) -> str:
        """Add the plugin's options of pytest to commands that pass them on."""
        if self.prog.split()[-1] not in PYTEST_COMMANDS:
            return super().format_help()
        from pgchaos.commands.run import plugin_options

        return f"{super().format_help()}\n{plugin_options()}"
