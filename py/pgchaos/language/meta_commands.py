"""The meta-commands of psql that a scenario may contain, and messages about the others."""

from __future__ import annotations

import re
from difflib import get_close_matches

from pgchaos.language.encodings import encoding_named
from pgchaos.language.section_items import Parts, as_written
from pgchaos.language.sql_tokens import tokenize

TERMINATORS = frozenset({"g", "gx", "gset", "gexec"})
# commands that print catalog contents: \d, \dt+, \l and the like
_SHOWS = re.compile(
    r"(?:d(?:[aAbcCdDEfFgilLmnoOpPstTuvxXy]|A[cfop]|dp|e[stuw]|f[anptw]+|F[dpt]|[Eimstv]+|P[itn]+|r(?:ds|g)|R[ps]|config)?"
    r"|l|z|sf|sv)[+Sx]*"
)
# settings of how rows are printed; they matter in plain pgTAP files, whose TAP is psql's output
PRINTING = frozenset({"x", "a", "t", "f", "pset"})
_LOOKS_UP = re.compile(r"(d)(?:[+S][+Sx]*)?|(s[fv])\+?")
_DISPLAY = frozenset(
    {*PRINTING, *("timing", "restrict", "unrestrict", "conninfo", "errverbose", "C"), "p", "print"}
    | {"h", "help", "?", "copyright", "lo_list"}
)

# alternative names of a command
SAME = {"include": "i", "include_relative": "ir", "q": "quit", "connect": "c", "out": "o", "list": "l"}

RUN = frozenset(
    {*("set", "unset", "i", "ir", "echo", "qecho", "warn", "if", "elif", "else", "endif", "quit"), "c", "o"}
    | {"encoding", "getenv", "setenv"}
)
# commands that only a plain pgTAP file may contain, and why
PLAIN_ONLY = {
    "c": "each session of a scenario has a connection of its own",
    "o": "in a scenario only the output of checks is read, and that must be seen",
}
UNKNOWN = "unknown command"  # its name in a plain pgTAP file, with the error as its argument
LOOKUPS = frozenset({"d", "sf", "sv"})
FILES = frozenset({"i", "ir"})  # psql removes a trailing `;` from their arguments
# commands that no scenario may contain, after which psql begins a new statement
ENDING = frozenset({"gdesc", "crosstabview", "watch", "r", "reset"})

NOWHERE = "/dev/null"
_PERSON = "it is for a person at the terminal"
_PREPARED = "use PREPARE and EXECUTE"
_PIPELINE = "each statement is sent by itself"
_LARGE = "use lo_from_bytea(), lo_get() and lo_unlink()"
# psql's other commands, and what to do instead
_INSTEAD = {
    "!": "no shell command is run: run it before pytest, or in a fixture",
    "cd": "name files from the folder that pytest is called in, or beside this file",
    "gdesc": "call pg_typeof(), or end the statement with `;`",
    "crosstabview": "end the statement with `;`",
    "watch": "repeat a statement by SQL, or by `repeat` of a session",
    **dict.fromkeys(("r", "reset"), "remove the statement that it discards"),
    **dict.fromkeys(("H", "T"), "rows are read as psql -At prints them"),
    **dict.fromkeys(("e", "edit", "ef", "ev", "password", "s"), _PERSON),
    "prompt": _PERSON + ": set the variable by \\set",
    **dict.fromkeys(("w", "write"), "no file is written"),
    **dict.fromkeys(("bind", "bind_named", "parse", "close", "close_prepared"), _PREPARED),
    **dict.fromkeys(("startpipeline", "endpipeline", "syncpipeline", "sendpipeline"), _PIPELINE),
    **dict.fromkeys(("flush", "flushrequest", "getresults"), _PIPELINE),
    **dict.fromkeys(("lo_import", "lo_export", "lo_unlink"), _LARGE),
}

_DIRECTIVE = re.compile(r"(?:^|\s)--\s*chaos:", re.I)
_GIVES_ROWS = ("select", "with", "values", "table", "show", "fetch", "execute", "call", "explain")

SUPPORTED = tuple(sorted(TERMINATORS | _DISPLAY | RUN | SAME.keys() | {"copy"}))


def is_display(name: str) -> bool:
    """Whether a command has no effect here: it prints the catalog, sets psql's output, or is from pg_dump."""
    return name in _DISPLAY or _SHOWS.fullmatch(name) is not None


def looks_up(name: str) -> str:
    r"""Return which of `d`, `sf` and `sv` a command is, which fail if they do not find what they name; otherwise ''."""
    found = _LOOKS_UP.fullmatch(name)
    return (found[1] or found[2]) if found else ""


def is_unknown(name: str) -> bool:
    """Whether psql has no such command either."""
    return name[:1].isalpha() and name.rstrip(";") not in {*SUPPORTED, *_INSTEAD} and not is_display(name)


def unsupported(name: str) -> str:
    """Return the message about a meta-command that no scenario may contain."""
    if name == ".":
        return r"\. without COPY … FROM STDIN before it"
    if not name:
        return r"a backslash without a command; inside a string it belongs between quotes"
    bare = name.rstrip(";")
    if bare != name and bare in SUPPORTED:
        return rf"\{name} is no command of psql; a meta-command ends with its line: \{bare}"
    if name in _INSTEAD:
        return rf"\{name} is not supported; {_INSTEAD[name]}"
    near = get_close_matches(name, SUPPORTED, 1)
    return rf"\{name} is not supported" + (rf"; did you mean \{near[0]}?" if near else "")


def wrong_terminator(name: str, args: tuple[Parts, ...]) -> str:
    r"""Return what is wrong with the arguments of \g, \gx, \gset or \gexec, or ''."""
    if any(arg[:1] and str(arg[0]).startswith("--") for arg in args):
        return rf"psql takes a comment behind \{name} for its arguments; put it on a line of its own"
    if name in ("g", "gx") and args and args != ((NOWHERE,),):
        return (
            rf"\{name} {_shown(args)}: no file is written and nothing is piped; plain \{name} sends the statement"
            rf" like `;`, and \{name} {NOWHERE} hides its rows"
        )
    if len(args) > (name in ("g", "gx", "gset")):
        return rf"\{name} has too many arguments; what follows on its line belongs behind \\ or on the next"
    return ""


def wrong_arguments(name: str, args: tuple[Parts, ...]) -> str:
    r"""Return what is wrong with the arguments of \o or \encoding, or ''; always '' for another command."""
    if name == "o" and args and args != ((NOWHERE,),):
        return rf"\o {_shown(args)}: no file is written; \o {NOWHERE} hides what follows, and \o shows it again"
    if name != "encoding" or not args:
        return ""
    written = _shown(args[:1])
    return "" if encoding_named(written) else rf"\encoding {written}: no such encoding is known here"


def _shown(args: tuple[Parts, ...]) -> str:
    return " ".join(map(as_written, args))


def directive_behind(name: str, written: str) -> str:
    """Return a message if a directive follows a meta-command on its line, because psql takes it as arguments; or ''."""
    if _DIRECTIVE.search(written) is None:
        return ""
    return rf"psql takes the directive behind \{name} for its arguments; put it on a line of its own"


def terminators(sql: str) -> str:
    r"""Return the terminators that a statement may lack: `;`, and also `\gset` if it returns rows."""
    words = [token.text for token in tokenize(sql) if token.kind == "word"]
    gives_rows = "returning" in words or (bool(words) and words[0] in _GIVES_ROWS)
    return r"`;` or `\gset`" if gives_rows else "`;`"
