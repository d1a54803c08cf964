"""Makes text fit to be shown: no password is in it, and nothing that would command a terminal.

All that pgchaos shows goes through `printable`: on the terminal, in reports and in JUnit's file. What is compared is
compared as it is.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

_LEAST = 4
"""Characters of a password that is taken out of text: a shorter one would take words with it, and protects nothing."""
_WORDS = frozenset({"postgres", "postgresql", "password", "localhost", "public", "test", "user", "root"})
"""Words that messages are made of: as a password such a word is no secret, and without it no message can be read."""
_HIDDEN = "********"
_KEPT = frozenset("\n\t")
_JOINER = "\u200d"
"""Joins emoji and Indic letters, and moves nothing."""
_secrets: set[str] = set()


def hide(secret: str, known: frozenset[str] = frozenset()) -> None:
    """Never show a text from now on.

    Args:
        secret: a password.
        known: names that are shown anyway, such as the role's: a password that equals one of them hides nothing.
    """
    if len(secret) >= _LEAST and secret not in known and secret not in _WORDS:
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")  # in a connection string
        _secrets.update((secret, escaped, repr(secret)[1:-1], quote(secret, safe=""), quote(secret)))


def knows_secrets() -> bool:
    """Say whether there is anything to hide."""
    return bool(_secrets)


def without_secrets(text: str) -> str:
    """Put stars in place of passwords.

    Args:
        text: any.
    """
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def printable(text: str) -> str:
    r"""Make a text fit to be shown.

    Args:
        text: of any number of lines; whatever comes from a database, a file or a server may be in it.

    Returns:
        It with stars in place of passwords, and with control characters, marks that change the direction of what
        follows, invisible characters and halves of surrogates written as `\x1b` or `\u202e`. Line feeds and tabs stay.
    """
    text = without_secrets(text)
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def one_line(text: str) -> str:
    r"""Make a text fit to be shown within a line: as `printable`, with line feeds and tabs written as `\n` and `\t`.

    Args:
        text: such as a name from a server, which may be anything.
    """
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(character: str) -> str:
    if character.isprintable() or character in _KEPT or character == _JOINER:
        return character
    # blanks other than U+0020 are harmless; line and paragraph separators are not
    if unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
