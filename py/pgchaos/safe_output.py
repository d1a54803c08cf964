"""Makes text safe to show: without passwords, and without characters that control a terminal.

Everything that pgchaos shows passes `printable`: on the terminal, in reports, in JUnit's file. What is compared is
compared unchanged.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

_LEAST = 4  # shorter passwords are not hidden: that would hide words too, and protect nothing
# words of messages: such a password is no secret, and hiding it would make messages unreadable
_WORDS = frozenset({"postgres", "postgresql", "password", "localhost", "public", "test", "user", "root"})
_HIDDEN = "********"
_KEPT = frozenset("\n\t")
_JOINER = "\u200d"  # joins emoji and Indic letters, and moves nothing
_secrets: set[str] = set()


def hide(secret: str, known: frozenset[str] = frozenset()) -> None:
    """Hide a password in all output from now on.

    Args:
        secret: the password.
        known: names that are shown anyway, such as the role's: a password that equals one of them is not hidden.
    """
    if len(secret) >= _LEAST and secret not in known and secret not in _WORDS:
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")  # in a connection string
        _secrets.update((secret, escaped, repr(secret)[1:-1], quote(secret, safe=""), quote(secret)))


def forget(secret: str) -> None:
    """Hide a password no more that opens nothing any more, and that has no characters to be escaped."""
    _secrets.discard(secret)


def knows_secrets() -> bool:
    """Whether there is anything to hide."""
    return bool(_secrets)


def without_secrets(text: str) -> str:
    """Replace passwords by asterisks."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def printable(text: str) -> str:
    r"""Make a text safe to show.

    Args:
        text: any lines, from a database, a file or a server.

    Returns:
        The text with asterisks for passwords, and with control characters, direction marks, invisible characters and
        surrogates written as `\x1b` or `\u202e`. Line feeds and tabs stay.
    """
    text = without_secrets(text)
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def one_line(text: str) -> str:
    r"""Make a text safe to show within a line: as `printable`, with line feeds and tabs written as `\n` and `\t`."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(character: str) -> str:
    if character.isprintable() or character in _KEPT or character == _JOINER:
        return character
    # blanks other than U+0020 are harmless; line and paragraph separators are not
    if unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
