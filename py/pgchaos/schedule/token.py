"""The token that replays one interleaving: a fingerprint of the item, the seed, and the decisions. Pure.

`c3f09a1b3a97-g4x2k-0110`: eight digits of a hash of the scenario's text, matrix values and mutant, and four digits of a
checksum of all the rest; the seed in base 36; and the connection at each decision, by its number in file order, in base
36. With more than 36 connections the numbers are separated by dots. Drawn values are last: JSON, deflated, in base 64.
The older form without a checksum, `c3f09a1b-g4x2k-0110`, is still accepted. The checksum is at the beginning, so a
truncated token never looks like the older form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LONGEST_SHOWN = 200
"""Characters of a token that is printed; a longer one is written to a file."""
_SHOWN = 60  # characters of a token that a message shows
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"([0-9a-f]{8})(?P<sum>[0-9a-f]{4})?-([0-9a-z]{1,12})-([0-9a-z.]*)(?:-([0-9A-Za-z_~]+))?")
_SUMMED = re.compile(r"[0-9a-f]{12}-")  # the beginning of a token with a checksum


@dataclass(frozen=True, slots=True)
class Token:
    """The contents of a token."""

    of: str  # the fingerprint of the item
    seed: int  # of everything random
    decisions: tuple[int, ...]  # connections by number in file order, from 0; empty for the file's own schedule
    values: Mapping[str, str] = field(default_factory=dict)  # drawn for the variables of `given`

    def __str__(self) -> str:
        text = self.without_checksum
        return f"{self.of}{_checksum(text)}{text.removeprefix(self.of)}"

    @property
    def without_checksum(self) -> str:
        """The older form, without a checksum."""
        parts = [_base36(one) for one in self.decisions]
        # numbers of one digit need no dots; the last dot marks a single number of two digits
        wide = any(len(part) > 1 for part in parts)
        numbers = ".".join([*parts, ""]) if wide else "".join(parts)
        drawn = f"-{_packed(self.values)}" if self.values else ""
        return f"{self.of}-{_base36(self.seed)}-{numbers}{drawn}"


def parse(text: str) -> Token:
    """Parse a token. Raises ValueError if the text is not a token, or is damaged."""
    found = _TOKEN.fullmatch(text.strip())
    summed = _SUMMED.match(text.strip()) is not None
    text = shown(text)
    if summed and (found is None or found["sum"] != _checksum(found[1] + found[0][12:])):
        raise ValueError(f"token is damaged: '{text}' is cut short or changed: copy all of it from the report")
    if found is None:
        raise ValueError(f"'{text}' is no token: copy it from the report of a failure, such as c3f09a1b3a97-g4x2k-0110")
    numbers = found[4].removesuffix(".").split(".") if "." in found[4] else list(found[4])
    if not all(numbers):
        raise ValueError(f"'{text}' is no token: two dots follow each other in it")
    try:
        values = _unpacked(found[5]) if found[5] else {}
    except ValueError:
        raise ValueError(f"'{text}' is no token: its last part, the values, is not whole") from None
    return Token(found[1], int(found[3], 36), tuple(int(one, 36) for one in numbers), values)


def shown(text: str) -> str:
    """Shorten a long token for a message."""
    text = text.strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class Fingerprints:
    """The fingerprints of all items of a file. The texts of the file and its included files are hashed once."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._digest = hashlib.sha256()
        for text in texts:
            _add(self._digest, text)

    def of(self, variables: Mapping[str, str], mutant: str = "") -> str:
        """Return the fingerprint of an item with these matrix values and the slug of its mutant, or ''."""
        digest = self._digest.copy()
        for name, value in variables.items():
            _add(digest, f"{name}={value}")
        _add(digest, mutant)
        return digest.hexdigest()[:8]


def _add(digest: hashlib._Hash, text: str) -> None:
    data = text.encode()
    digest.update(f"{len(data)}:".encode())
    digest.update(data)


def _checksum(without_checksum: str) -> str:
    return f"{binascii.crc_hqx(without_checksum.encode(), 0xFFFF):04x}"


def _packed(values: Mapping[str, str]) -> str:
    """Encode values by characters that need no quoting in a shell, in make and in a URL."""
    data = zlib.compress(json.dumps(dict(values), ensure_ascii=False).encode(), 9)
    return base64.urlsafe_b64encode(data).decode().rstrip("=").replace("-", "~")


def _unpacked(text: str) -> dict[str, str]:
    data = text.replace("~", "-")
    try:
        numbers = json.loads(zlib.decompress(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))))
    except (zlib.error, binascii.Error) as error:
        raise ValueError(str(error)) from None
    if not isinstance(numbers, dict):
        raise ValueError("no values")
    return {str(name): str(value) for name, value in numbers.items()}


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
        if not number:
            return digits
