"""Where the text of a mutant's `replace` stands in a statement, also after a formatter has been over the file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PIECE = re.compile(r"(?P<quoted>'(?:[^']|'')*'?|\"[^\"]*\"?)|(?P<space>\s+)|(?P<word>\w+)|(?P<sign>.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextMatch:
    """How the text of a `replace` is found.

    Args:
        pattern: of the text.
        at_end: the text ends with the `;` of a statement, which is no part of the statement's text.
    """

    pattern: re.Pattern[str]
    at_end: bool = False

    def count(self, text: str) -> int:
        """Count how often the text stands in a statement.

        Args:
            text: of the statement, without the `;` that ends it.
        """
        return sum(1 for _ in self.pattern.finditer(text))

    def replace(self, text: str, new: str) -> str:
        """Put another text in its place.

        Args:
            text: of the statement, without the `;` that ends it.
            new: what comes instead.

        Returns:
            The statement's new text, again without a `;` that ends it.
        """
        if self.at_end:
            new = new.rstrip().removesuffix(";")
        return self.pattern.sub(lambda _: new, text)


def text_match(texts: Iterable[str], old: str) -> TextMatch:
    """Choose how a text is found in the statements of a section.

    Args:
        texts: of its statements.
        old: what is looked for.

    Returns:
        To the letter, where it stands so in one of them. Else but for white space, for upper and lower case outside
        quotes, and with a `;` at its end standing for the end of a statement.
    """
    if any(old in text for text in texts):
        return TextMatch(re.compile(re.escape(old)))
    inner = old.strip()
    at_end = inner.endswith(";")
    return TextMatch(_tolerant(inner.removesuffix(";").rstrip(), at_end), at_end)


def _tolerant(old: str, at_end: bool) -> re.Pattern[str]:
    """Make the pattern. A formatter may put white space beside a sign (`a=1`, `a = 1`), and never into a word."""
    parts: list[str] = []
    before = ""  # the kind of the piece before
    spaced = False
    for found in _PIECE.finditer(old):
        kind = str(found.lastgroup)
        if kind == "space":
            spaced = True
            continue
        if parts and spaced and before == kind == "word":
            parts.append(r"\s+")
        elif parts and (spaced or _loose(before, kind)):
            parts.append(r"\s*")
        literal = re.escape(found[0])
        parts.append(literal if kind == "quoted" else f"(?i:{literal})")
        before, spaced = kind, False
    return re.compile("".join(parts) + (r"\s*\Z" if at_end else ""))


def _loose(before: str, kind: str) -> bool:
    """Say whether white space may come between two pieces that stand together: not inside a name like `:'level'`."""
    return "sign" in (before, kind) and "quoted" not in (before, kind)
