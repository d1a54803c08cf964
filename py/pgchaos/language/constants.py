r"""psql variables that are set before a scenario begins: by --chaos-set, or by \set and `default` in its header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgchaos.language.section_items import Parts, Variable
from pgchaos.language.substitution import assignment, evaluate

_DEFAULT = re.compile(r"(?P<name>\w+)\s*=\s*(?P<value>.*)", re.DOTALL)
_QUOTED = re.compile(r"'(?P<text>[^']*(?:''[^']*)*)'")
_IN_DIRECTIVE = re.compile(r"(?<![\w:]):([A-Za-z_]\w*)")
_OUTSIDE_QUOTES = re.compile(rf"'[^']*'|{_IN_DIRECTIVE.pattern}")
_USE = re.compile(
    r""":(?:'|"|\{\?)?(?P<name>[A-Za-z_]\w*)|\bvar\s*\(\s*'(?P<asked>\w+)'\s*\)""",
)


@dataclass(slots=True)
class Constants:
    """The variables, while a file is read."""

    given: Mapping[str, str] = field(default_factory=dict)  # those of --chaos-set
    values: dict[str, str] = field(init=False)
    # the folder of the file that set a variable, with that folder as users see it
    folders: dict[str, tuple[Path, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = dict(self.given)

    def set(self, args: tuple[Parts, ...], folder: tuple[Path, str]) -> None:
        r"""Set a variable as \set does, in a file of this folder. ValueError where no variable may have its name."""
        name, value = assignment(evaluate(args, self.values))
        self.values[name], self.folders[name] = value, folder

    def unset(self, args: tuple[Parts, ...]) -> None:
        r"""Remove variables as \unset does."""
        for name in evaluate(args, self.values):
            self.values.pop(name, None)

    def default(self, text: str, folder: tuple[Path, str]) -> None:
        """Set a variable that is not set yet; the parser reports a text that is no `default`."""
        written = written_default(text)
        if written is not None and written[0] not in self.values:
            self.values[written[0]], self.folders[written[0]] = written[1], folder

    def in_directive(self, text: str, *, quoted: bool = True) -> str:
        """Put the variables into the words of a directive, and its texts in quotes if `quoted`."""
        if ":" not in text:
            return text
        pattern = _IN_DIRECTIVE if quoted else _OUTSIDE_QUOTES
        return pattern.sub(lambda found: self.values.get(found[1], found[0]), text)


def written_default(text: str) -> tuple[str, str] | None:
    """Read what follows `default`: the name and the value; None where it is something else."""
    found = _DEFAULT.fullmatch(text.strip())
    if found is None:
        return None
    quoted = _QUOTED.fullmatch(found["value"])
    return found["name"], quoted["text"].replace("''", "'") if quoted else found["value"]


def unset_in(parts: Iterable[str | Variable], values: Mapping[str, str]) -> list[str]:
    """Name the variables of an argument that are not set."""
    return [part.name for part in parts if isinstance(part, Variable) and part.name not in values]


def names_used(texts: Iterable[str]) -> frozenset[str]:
    """Name what may be a variable in texts: what is behind a colon, and what chaos.var() is called with."""
    return frozenset(found["name"] or found["asked"] for text in texts for found in _USE.finditer(text))
