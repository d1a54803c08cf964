"""The name of an item, and the command that runs it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.language.model import Scenario
    from pgchaos.results import Failure, RunResult
    from pgchaos.schedule.token import Token

MAKE = "make installcheck-chaos"

_SYNTAX_ERROR = "42601"
_BEFORE_SESSIONS = ("setup", "before setup and after the sessions")
# Leaks of these kinds do not depend on the interleaving.
_LEAKS_OF_THE_FILE = frozenset({"role", "tablespace", "database", "slot", "object"})

_REPLAYED = {
    "free": "This replays delays, jitter and values, but not the interleaving: in a free run the server chooses it.",
    "exact": "The file fixes the schedule: the same steps run in the same order again.",
    "all": "This runs all interleavings again.",
    "explore": "This searches again.",
}


def item_name(name: str, variables: Mapping[str, str], mutant: str = "", repetition: str = "") -> str:
    """Write the part of an item's id after `::`, the same in every run: such as `transfer[level=serializable]`.

    `mutant` is its slug, and `repetition` that of pytest-repeat, '' without one.
    """
    parameters = [f"{key}={_printable(value)}" for key, value in variables.items()]
    parameters += filter(None, (mutant, repetition))
    return f"{name}[{','.join(parameters)}]" if parameters else name


def replay_line(target: str, what: int | Token | Path, options: Sequence[str] = (), command: str = "pytest") -> str:
    """Write the command that runs an item again.

    Args:
        target: the id of the item.
        what: the seed of the run, the token of an interleaving, or a file that holds the token.
        options: further options of the run that a replay needs.
        command: how pytest was called; it contains MAKE if that was `make installcheck-chaos`.

    Returns:
        A line for a POSIX shell in the folder where the run was started.
    """
    option = f"--chaos-seed={what}" if isinstance(what, int) else f"--chaos-replay={'@' * isinstance(what, Path)}{what}"
    # pytest takes a word that begins with one of these as an option, or as a file of arguments
    path = f"./{target}" if target.startswith(("-", "@")) else target
    words = [shlex.quote(path), *map(shlex.quote, (option, *options))]
    if MAKE not in command:
        return " ".join([command, *words])
    # make passes both to a shell, and expands dollars
    tests, opts = (shlex.quote(text).replace("$", "$$") for text in (words[0], " ".join(words[1:])))
    return f"{command} CHAOS_TESTS={tests} CHAOS_OPTS={opts}"


def what_is_replayed(scenario: Scenario) -> str:
    """Write what the seed replays, and what it does not; '' for a single connection, which has no interleavings."""
    alone = scenario.connections <= 1
    if scenario.schedule.kind == "free" and alone and not scenario.runs_programs:
        return ""
    return _REPLAYED[scenario.schedule.kind]


def ways_to_run_again(scenario: Scenario, result: RunResult, again: str, token: str) -> list[tuple[str, str]]:
    """List the commands that run a failed item again, each with a description, the most reliable first."""
    kind = scenario.schedule.kind
    with_seed = f"Seed {result.seed}. To run it again:", again
    if token and result.values and not result.decisions:
        return [with_seed, ("To run it with these values alone:", token)]
    if token and kind == "free":
        return [("Same order, one step at a time; fails again:", token), ("Same seed; the order may differ:", again)]
    if token and kind != "exact":
        return [(f"Seed {result.seed}. To run this interleaving again, alone:", token)]
    return [with_seed]


def may_differ(failures: Iterable[Failure]) -> bool:
    """Whether another run of the same file could have another result, so that a replay is useful."""
    return not all(map(_depends_on_the_file_alone, failures))


def _depends_on_the_file_alone(failure: Failure) -> bool:
    if failure.kind == "leak":
        return bool(_LEAKS_OF_THE_FILE.intersection(failure.names)) and failure.text.startswith("left behind")
    return failure.kind == "error" and (failure.session in _BEFORE_SESSIONS or _SYNTAX_ERROR in failure.names)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
