"""Makes text safe to show: without passwords, and without characters that control a terminal.

Everything that pgchaos shows passes `printable`: on the terminal, in reports, in the JUnit file. Texts are compared
before that.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from pgchaos.server_text import escaped

_LEAST = 4  # shorter passwords are not hidden: parts of words would disappear from messages
# such a password is no secret, and hiding these words would make messages unreadable
_WORDS = frozenset({"postgres", "postgresql", "password", "localhost", "public", "test", "user", "root"})
_HIDDEN = "********"
_KEPT = frozenset("\n\t")
_JOINER = "\u200d"  # joins emoji and Indic letters; it does not change the direction of text
_secrets: set[str] = set()


def hide(secret: str, known: frozenset[str] = frozenset()) -> None:
    """Hide a password in all output from now on.

    Args:
        secret: the password.
        known: names that messages show, such as the role's. A password that equals one of them is not hidden.
    """
    if len(secret) >= _LEAST and secret not in known and secret not in _WORDS:
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")  # as in a connection string
        _secrets.update((secret, escaped, repr(secret)[1:-1], quote(secret, safe=""), quote(secret)))


def forget(secret: str) -> None:
    """Stop hiding a password that is no longer valid. It must have no characters that need escapes."""
    _secrets.discard(secret)


def knows_secrets() -> bool:
    """Whether a password is to be hidden."""
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
        The text with asterisks instead of passwords, and with escapes such as `\x1b` or `\u202e` instead of control
        characters, direction marks, invisible characters and bytes that are not UTF-8. Line feeds and tabs stay.
    """
    text = escaped(without_secrets(text))
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def one_line(text: str) -> str:
    r"""Make a text safe to show on one line: like `printable`, with `\n` and `\t` for line feeds and tabs."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(character: str) -> str:
    if character.isprintable() or character in _KEPT or character == _JOINER:
        return character
    # spaces other than U+0020 are harmless; line and paragraph separators (Zl, Zp) are not
    if unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
