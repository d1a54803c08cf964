"""`pgchaos new`: writes a runnable scenario from a template."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path

from pgchaos.commands.arguments import KINDS
from pgchaos.commands.errors import DONE, CommandError
from pgchaos.commands.project import project_of
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import read

_TEMPLATES = Path(__file__).with_name("templates")
_MOST_CONNECTIONS = 50
_TAG = re.compile(r"[a-z][a-z0-9_]*")


def new(options: argparse.Namespace) -> int:
    """Ask for what no option specifies, and write the file."""
    path = _path(options.name)
    if path.exists() or path.is_symlink():
        raise CommandError(f"{path} exists already: name another file")
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not options.no_questions
    title = options.title or _asked(asks, "What does it show?", _title(path))
    kind = options.kind or _kind(asks)
    template = (_TEMPLATES / f"{kind}.sql").read_text(encoding="utf-8")
    connections = 2 if options.connections is None else options.connections
    if "CONNECTIONS" in template and options.connections is None:
        connections = _number(_asked(asks, "How many clients at once?", "2"))
    elif options.connections is not None and "CONNECTIONS" not in template:
        raise CommandError(f"--connections: a scenario of kind {kind} has its sessions by name: leave it out")
    text = _filled(template, title, _connections(connections), _tags(options.tags or ""))
    _check(path, text)
    _write(path, text)
    print(f"{path} is written. It runs as it is: pgchaos run {shlex.quote(str(path))} --chaos-mutants")
    return DONE


def _path(name: str) -> Path:
    """Return the file for a name: a path that ends in .sql, else a file below the first folder of the project."""
    if not name.strip("/. "):
        raise CommandError("the name is empty: name the scenario, such as bank/double_charge")
    path = Path(name)
    if path.suffix == ".sql":
        return path
    if ".." in path.parts:
        raise CommandError(f"`{name}` leaves its folder: name it without `..`, or give a path that ends in .sql")
    folder = project_of(Path.cwd()).paths[0]
    beside = path if path.is_absolute() or path.is_relative_to(folder) else folder / path
    return beside.with_name(f"{beside.name}.sql")


def _title(path: Path) -> str:
    title = path.stem.replace("_", " ").replace("-", " ")
    return title[:1].upper() + title[1:]


def _asked(asks: bool, question: str, default: str) -> str:
    if not asks:
        return default
    try:
        return input(f"{question} [{default}] ").strip() or default
    except EOFError:
        print()
        return default


def _kind(asks: bool) -> str:
    first = next(iter(KINDS))
    if asks:
        print("\n".join(f"  {number}  {kind:<8} {what}" for number, (kind, what) in enumerate(KINDS.items(), 1)))
    answer = _asked(asks, "What is it about?", first)
    kinds = list(KINDS)
    if answer.isdigit() and 1 <= int(answer) <= len(kinds):
        return kinds[int(answer) - 1]
    if answer not in KINDS:
        raise CommandError(f"there is no kind `{answer}`: name one of {', '.join(kinds)}")
    return answer


def _number(text: str) -> int:
    if not text.isdecimal():
        raise CommandError(f"`{text}` is no number of clients: give a whole number such as 2")
    return int(text)


def _connections(number: int) -> int:
    if not 2 <= number <= _MOST_CONNECTIONS:
        raise CommandError(f"{number} clients: give a number from 2 to {_MOST_CONNECTIONS}")
    return number


def _tags(text: str) -> str:
    words = text.replace(",", " ").split()
    wrong = next((word for word in words if not _TAG.fullmatch(word)), None)
    if wrong is not None:
        raise CommandError(f"--tags: `{wrong}` is no tag: a tag is a word of a-z, 0-9 and _")
    return " ".join(dict.fromkeys(["concurrent", *words]))


def _filled(template: str, title: str, connections: int, tags: str) -> str:
    text = template.replace("CONNECTIONS", str(connections)).replace("TAGS", tags, 1)
    return text.replace("TITLE", " ".join(title.split()), 1)


def _check(path: Path, text: str) -> None:
    """Refuse what the reader would: a tag that is not known, a title in the form of a directive."""
    try:
        # an argument that is not UTF-8 has surrogates
        read(path, raw=text.encode(errors="surrogateescape"), extra_tags=project_of(Path.cwd()).tags)
    except ScenarioError as error:
        raise CommandError(f"nothing is written, as it would not run: {error.problems[0]}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # never overwrites
            file.write(text)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
