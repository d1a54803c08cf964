r"""psql variables that are set before a scenario starts: by --chaos-set, or by \set and `default` in its header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgchaos.language.arguments import QUOTED
from pgchaos.language.section_items import Parts, Variable
from pgchaos.language.substitution import assignment, evaluate

_DEFAULT = re.compile(r"(?P<name>\w+)\s*=\s*(?P<value>.*)", re.DOTALL)

_IN_DIRECTIVE = re.compile(r"(?<![\w:]):([A-Za-z_]\w*)")
_OUTSIDE_QUOTES = re.compile(rf"'[^']*'|{_IN_DIRECTIVE.pattern}")
_USE = re.compile(
    r""":(?:'|"|\{\?)?(?P<name>[A-Za-z_]\w*)|\bvar\s*\(\s*'(?P<asked>\w+)'\s*\)""",
)


@dataclass(slots=True)
class Constants:
    """The variables so far, during the parsing of a file."""

    given: Mapping[str, str] = field(default_factory=dict)  # those of --chaos-set
    values: dict[str, str] = field(init=False)
    # by variable: the folder of the file that set it, and the folder's name in messages
    folders: dict[str, tuple[Path, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = dict(self.given)

    def set(self, args: tuple[Parts, ...], folder: tuple[Path, str]) -> None:
        r"""Set a variable as \set does, in a file of this folder. Raises ValueError if its name is not valid."""
        name, value = assignment(evaluate(args, self.values))
        self.values[name], self.folders[name] = value, folder

    def unset(self, args: tuple[Parts, ...]) -> None:
        r"""Remove variables as \unset does."""
        for name in evaluate(args, self.values):
            self.values.pop(name, None)

    def default(self, text: str, folder: tuple[Path, str]) -> None:
        """Set a variable if it is not set; the parser reports a text that is not a valid `default`."""
        written = written_default(text)
        if written is not None and written[0] not in self.values:
            self.values[written[0]], self.folders[written[0]] = written[1], folder

    def in_directive(self, text: str, *, quoted: bool = True) -> str:
        """Replace the variables in the words of a directive, and also in its texts in quotes if `quoted`."""
        if ":" not in text:
            return text
        pattern = _IN_DIRECTIVE if quoted else _OUTSIDE_QUOTES
        return pattern.sub(lambda found: self.values.get(found[1], found[0]), text)


def written_default(text: str) -> tuple[str, str] | None:
    """Parse the rest of a `default` line: the name and the value; None if it is not valid."""
    found = _DEFAULT.fullmatch(text.strip())
    if found is None:
        return None
    quoted = QUOTED.fullmatch(found["value"])
    return found["name"], quoted[1].replace("''", "'") if quoted else found["value"]


def unset_in(parts: Iterable[str | Variable], values: Mapping[str, str]) -> list[str]:
    """Return the names of the variables in an argument that are not set."""
    return [part.name for part in parts if isinstance(part, Variable) and part.name not in values]


def names_used(texts: Iterable[str]) -> frozenset[str]:
    """Return the names in texts that may be variables: after a colon, or as the argument of chaos.var()."""
    return frozenset(found["name"] or found["asked"] for text in texts for found in _USE.finditer(text))
