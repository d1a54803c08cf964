r"""psql's `\copy`: the statement that it sends, and the file that it reads.

Source: parse_slash_copy and do_copy in psql's copy.c. Variables are not replaced in the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = r'(?:"[^"]*(?:""[^"]*)*"|[^\s".,()]+)'
_COPY = re.compile(
    rf"""\s*(?P<binary>binary\s+)?
        (?P<table>(?P<query>\(.*\))|{_NAME}(?:\s*\.\s*{_NAME})*\s*(?:\([^)]*\))?)\s*
        \b(?P<way>from|to)\b\s*
        (?P<program>program\b)?\s*
        (?P<source>'[^']*(?:''[^']*)*'|\S+)
        (?P<rest>.*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_OUTPUT = ("stdout", "stdin", "pstdout")  # psql takes STDIN for its output too
_BINARY = re.compile(r"\bbinary\b", re.IGNORECASE)

WRITES = r"\copy … TO writes a file, which pgchaos does not; \copy … TO STDOUT prints the rows"
FORM = r"\copy is not understood; write \copy TABLE [(COLUMNS)] FROM 'FILE' [OPTIONS]"


class WrongCopy(Exception):
    r"""A \copy that cannot be run; the text says why, and what to write instead."""


@dataclass(frozen=True, slots=True)
class ClientCopy:
    r"""The statement that a \copy sends, and the file with its data; None if the data is below the line, or printed."""

    statement: str
    file: str | None
    prints: bool = False


def client_copy(written: str) -> ClientCopy:
    r"""Parse the arguments of a \copy. Raises WrongCopy for one that cannot be run."""
    found = _COPY.match(written)
    prints = found is not None and found["way"].lower() == "to"
    if found is None or (found["query"] and not prints):
        raise WrongCopy(FORM)
    source, rest = found["source"].rstrip(";"), found["rest"].strip()
    if prints and (found["program"] or source.lower() not in _OUTPUT):
        raise WrongCopy(WRITES)
    if found["program"]:
        raise WrongCopy(r"\copy … FROM PROGRAM runs a program, which pgchaos does not; put its output into a file")
    if source.lower() == "pstdin":
        raise WrongCopy(r"\copy … FROM PSTDIN reads psql's own input, which there is none of; name a file")
    if found["binary"] or _BINARY.search(rest):
        raise WrongCopy(r"\copy … BINARY is not supported; use text or CSV")
    way = "TO STDOUT" if prints else "FROM STDIN"
    statement = " ".join(filter(None, ("COPY", found["table"].strip(), way, rest.rstrip("; \t"))))
    if prints or source.lower() == "stdin":
        return ClientCopy(statement, None, prints)
    name = source[1:-1].replace("''", "'") if source.startswith("'") else source
    return ClientCopy(statement, name)


def data_file(name: str, beside: Path, root: Path | None) -> Path:
    r"""Find the file that a \copy reads: in the current directory, as psql does, or in the folder of its command.

    It must be in the project: in `root`, or if that is None, in one of these folders. Raises WrongCopy.
    """
    roots = [root] if root is not None else [Path.cwd(), beside]
    try:
        given = Path(name).expanduser()
        here = Path.cwd() / given
        found = (here if here.is_file() else beside / given).resolve()
        if not found.exists():
            where = "" if given.is_absolute() else "; it is looked for in the current directory and beside this file"
            raise WrongCopy(f"there is no such file{where}")
        if not any(found.is_relative_to(one.resolve()) for one in roots):
            raise WrongCopy(f"the file lies outside the project, {roots[0]}: copy it into the project")
    except (OSError, RuntimeError, ValueError) as error:
        raise WrongCopy(f"the file cannot be read: {error}") from error
    return found
