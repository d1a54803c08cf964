"""What stands behind a directive's name, cut into words, and taken from left to right."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

from pgchaos.language.suggestions import NAME, keyword, meant

_TOKEN = re.compile(r"\s*(?:'([^']*(?:''[^']*)*)'|(,|>=|<=|[=<>])|([^\s,'=<>]+)|('))")
_SIGN = re.compile(r"[',=<>]")
_COUNT = re.compile(r"[0-9]{1,9}")
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_DAY = 86_400.0


class DirectiveError(Exception):
    """What is wrong with one directive, and what was meant; its place is known to who called."""


class Token(NamedTuple):
    """A word, a sign, or a text in quotes.

    Args:
        text: without its quotes.
        quoted: whether it stood in quotes.
    """

    text: str
    quoted: bool

    def __str__(self) -> str:
        return "'" + self.text.replace("'", "''") + "'" if self.quoted else self.text


def cut(word: str, text: str) -> list[Token]:
    """Cut arguments into words, signs and quoted texts.

    Args:
        word: the directive's name, for messages.
        text: what stands behind it.

    Returns:
        The tokens in order.

    Raises:
        Wrong: a quote does not end.
    """
    if _SIGN.search(text) is None:
        return [Token(bare, False) for bare in text.split()]
    tokens = []
    for found in _TOKEN.finditer(text):
        kind = found.lastindex
        if kind == 4:
            raise DirectiveError(f"`{word}`: a quote does not end in this line; within quotes '' stands for '")
        tokens.append(Token(found[1].replace("''", "'"), True) if kind == 1 else Token(found[kind or 0], False))
    return tokens


class Args:
    """A directive's arguments, taken one by one.

    Args:
        word: the directive's name, for messages.
        text: what stands behind it.
        usage: how it is written, for messages.

    Raises:
        Wrong: by every method, when what stands there does not fit.
    """

    __slots__ = ("at", "tokens", "usage", "word")

    def __init__(self, word: str, text: str, usage: str) -> None:
        self.word = word
        self.usage = usage
        self.tokens = cut(word, text)
        self.at = 0

    def wrong(self, what: str) -> DirectiveError:
        """Make an error that ends by saying how the directive is written."""
        return DirectiveError(f"`{self.word}`: {what}; it is written `{self.usage}`")

    def misspelt(self) -> DirectiveError | None:
        """Make an error of what comes next where it is nearly a keyword of more than one word, as `upto` is."""
        ahead = [token.text for token in itertools.takewhile(lambda token: not token.quoted, self.tokens[self.at :])]
        found = keyword(ahead, self.usage)
        if found is None:
            return None
        return DirectiveError(f"`{self.word}`: `{found[0]}` is not understood, did you mean `{found[1]}`?")

    def more(self) -> bool:
        """Say whether something is left."""
        return self.at < len(self.tokens)

    def peek(self) -> str | None:
        """Look at the next word or sign; None at the end and for a text in quotes."""
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            return None if token.quoted else token.text
        return None

    def take(self, what: str) -> Token:
        """Take the next token, whatever it is; `what` names it in the error for the end of the line."""
        if self.at >= len(self.tokens):
            raise self.wrong(f"{what} is missing")
        self.at += 1
        return self.tokens[self.at - 1]

    def took(self, *words: str) -> bool:
        """Take these words if they come next, all or none of them."""
        ahead = self.tokens[self.at : self.at + len(words)]
        if [token.text for token in ahead if not token.quoted] != [*words]:
            return False
        self.at += len(words)
        return True

    def need(self, word: str) -> None:
        """Take a word that must come next."""
        if not self.took(word):
            raise self.wrong(f"`{word}` {self.instead()}")

    def instead(self) -> str:
        """Say what stands where something else should."""
        if self.at < len(self.tokens):
            return f"should stand where `{self.tokens[self.at]}` stands"
        return "is missing"

    def name(self, what: str) -> str:
        """Take a name of a session, step, barrier or signal."""
        token = self.take(f"the name of {what}")
        if token.quoted or not NAME.fullmatch(token.text):
            raise DirectiveError(
                f"`{self.word}`: `{token}` is no name for {what}: a name is one word of letters, digits, underscores"
                " and hyphens that begins with a letter or underscore"
            )
        return token.text

    def count(self, what: str) -> int:
        """Take a whole number from 1."""
        token = self.take(what)
        if token.quoted or not _COUNT.fullmatch(token.text) or int(token.text) < 1:
            raise self.wrong(f"{what} is a whole number from 1, not `{token}`")
        return int(token.text)

    def time(self, what: str, *, zero: bool = False) -> float:
        """Take a time with its unit; gives seconds."""
        token = self.take(what)
        found = None if token.quoted else _TIME.fullmatch(token.text)
        if found is None:
            raise self.wrong(f"{what} is a number with its unit (5ms, 30s, 2min), not `{token}`")
        seconds = float(found[1]) * _UNITS[found[2]]
        if seconds > _DAY:
            raise self.wrong(f"{what} is at most one day, not `{token}`")
        if seconds == 0 and not zero:
            raise self.wrong(f"{what} must be more than `{token}`")
        return seconds

    def choice(self, what: str, words: Iterable[str]) -> str:
        """Take one of these words."""
        known = list(words)
        token = self.take(f"the {what}")
        if token.quoted or token.text not in known:
            raise DirectiveError(f"`{self.word}`: `{token}` is no {what}{meant(token.text, known)}")
        return token.text

    def quoted(self, what: str) -> str:
        """Take a text in quotes."""
        token = self.take(what)
        if not token.quoted:
            raise self.wrong(f"{what} stands in quotes, as in '{token.text}'")
        return token.text

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self.at < len(self.tokens):
            raise self.misspelt() or self.wrong(f"`{self.tokens[self.at]}` is not understood here")
