"""How an item is called, and the line that runs it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pgchaos.schedule.token import Token

if TYPE_CHECKING:
    from pgchaos.language.model import Scenario
    from pgchaos.results import Failure

_SYNTAX = "42601"
_BEFORE_SESSIONS = ("setup", "before setup and after the sessions")
_MADE_BY_THE_FILE = frozenset({"role", "tablespace", "database", "slot", "object"})
"""Kinds of leaks that no interleaving brings about."""

MAKE = "make installcheck-chaos"

_FIXED = {
    "free": "This replays delays, jitter and values; a free run's interleaving is the server's and is not fixed.",
    "exact": "The schedule is written in the file: the same steps run in the same order again.",
    "all": "This runs all permutations again.",
    "explore": "This searches again.",
}


def item_name(name: str, variables: Mapping[str, str], mutant: str = "", repetition: str = "") -> str:
    """Name the item of a scenario.

    Args:
        name: of the scenario.
        variables: the values of its matrix, none where it has none.
        mutant: the slug of the mutant in it, '' for none.
        repetition: which of several runs of the same it is, '' where there is one.

    Returns:
        The name after `::` in its id, such as `transfer[level=serializable]`; the same in every run.
    """
    inside = [f"{key}={_printable(value)}" for key, value in variables.items()]
    inside += filter(None, (mutant, repetition))
    return f"{name}[{','.join(inside)}]" if inside else name


def replay_line(target: str, what: int | Token | Path, options: Sequence[str] = (), command: str = "pytest") -> str:
    """Write the command that runs an item again.

    Args:
        target: the id of the item.
        what: the seed of the run, the token of an interleaving, or a file that holds the token.
        options: further ones that the run was given and that matter.
        command: how pytest was called; it ends in MAKE where that was by `make installcheck-chaos`.

    Returns:
        A line for a POSIX shell, to be typed in the folder where the run was started.
    """
    option = f"--chaos-seed={what}" if isinstance(what, int) else f"--chaos-replay={'@' * isinstance(what, Path)}{what}"
    said = [shlex.quote(target), *map(shlex.quote, (option, *options))]
    if not command.endswith(MAKE):
        return " ".join([command, *said])
    # make hands both on to a shell, and takes a dollar for its own
    tests, opts = (shlex.quote(text).replace("$", "$$") for text in (said[0], " ".join(said[1:])))
    return f"{command} CHAOS_TESTS={tests} CHAOS_OPTS={opts}"


def what_it_fixes(scenario: Scenario) -> str:
    """Say what the seed replays, and what it does not."""
    return _FIXED[scenario.schedule.kind]


def may_differ(failures: Iterable[Failure]) -> bool:
    """Say whether another run of the same file could end otherwise, so that a replay is worth it."""
    return not all(map(_of_the_file, failures))


def _of_the_file(failure: Failure) -> bool:
    if failure.kind == "leak":
        return bool(_MADE_BY_THE_FILE.intersection(failure.names)) and failure.text.startswith("left behind")
    return failure.kind == "error" and (failure.session in _BEFORE_SESSIONS or _SYNTAX in failure.names)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
