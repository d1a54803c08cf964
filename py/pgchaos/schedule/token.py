"""The token that replays one interleaving: what it is of, the seed, and the decisions. Pure.

`c3f09a1b3a97-g4x2k-0110` : the first eight digits of a hash of the scenario's text, matrix values and mutant, then four
of a checksum of all the rest; the seed in base 36; and who went on at each decision, each connection by its number in
order of the file, in base 36. With more than 36 connections the numbers are separated by dots. Values that were drawn
come last, as JSON, deflated, in base 64. The checksum stands in front, so that what is left of a token that was cut
short never looks like one without: `c3f09a1b-g4x2k-0110`, as they were printed before, which is still read.
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

_SHOWN = 60
"""Characters of a token that a message shows."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"([0-9a-f]{8})(?P<sum>[0-9a-f]{4})?-([0-9a-z]{1,12})-([0-9a-z.]*)(?:-([0-9A-Za-z_~]+))?")
_SUMMED = re.compile(r"[0-9a-f]{12}-")
"""What only a token with a checksum begins with."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says.

    Args:
        of: the fingerprint of what it replays.
        seed: of everything random.
        decisions: the numbers of the connections, in order of the file from 0, as they went on; none where the file's
            own schedule is to be run.
        values: that were drawn for the variables of `given`.
    """

    of: str
    seed: int
    decisions: tuple[int, ...]
    values: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.of}{_checksum(self.plain)}{self.plain.removeprefix(self.of)}"

    @property
    def plain(self) -> str:
        """It as it was printed before tokens had a checksum."""
        parts = [_base36(one) for one in self.decisions]
        # one digit each needs no dots; a single number of two digits must not be read as two of one
        wide = any(len(part) > 1 for part in parts)
        said = ".".join([*parts, ""]) if wide else "".join(parts)
        drawn = f"-{_packed(self.values)}" if self.values else ""
        return f"{self.of}-{_base36(self.seed)}-{said}{drawn}"


def parse(text: str) -> Token:
    """Read a token.

    Args:
        text: as it was printed.

    Returns:
        What it says.

    Raises:
        ValueError: it is none, or it is not as it was printed.
    """
    found = _TOKEN.fullmatch(text.strip())
    summed = _SUMMED.match(text.strip()) is not None
    text = shown(text)
    if summed and (found is None or found["sum"] != _checksum(found[1] + found[0][12:])):
        raise ValueError(f"token is damaged: '{text}' is cut short or changed: copy all of it from the report")
    if found is None:
        raise ValueError(f"'{text}' is no token: copy it from the report of a failure, such as c3f09a1b3a97-g4x2k-0110")
    said = found[4].removesuffix(".").split(".") if "." in found[4] else list(found[4])
    if not all(said):
        raise ValueError(f"'{text}' is no token: two dots follow each other in it")
    try:
        values = _unpacked(found[5]) if found[5] else {}
    except ValueError:
        raise ValueError(f"'{text}' is no token: its last part, the values, is not whole") from None
    return Token(found[1], int(found[3], 36), tuple(int(one, 36) for one in said), values)


def shown(text: str) -> str:
    """Give a token as a message shows it: cut where it is long.

    Args:
        text: of the token, or what is taken for one.
    """
    text = text.strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def fingerprint(texts: Iterable[str], variables: Mapping[str, str], mutant: str = "") -> str:
    """Tell scenarios apart.

    Args:
        texts: of the file, and of those that it includes.
        variables: the values of its matrix.
        mutant: the slug of the mutant in it, or ''.

    Returns:
        Eight hexadecimal digits that change with anything that a run depends on.
    """
    return Fingerprints(texts).of(variables, mutant)


class Fingerprints:
    """The fingerprints of all items of a file, whose text is read once for all of them.

    Args:
        texts: of the file, and of those that it includes.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._digest = hashlib.sha256()
        for text in texts:
            _add(self._digest, text)

    def of(self, variables: Mapping[str, str], mutant: str = "") -> str:
        """Give one; see `fingerprint`."""
        digest = self._digest.copy()
        for name, value in variables.items():
            _add(digest, f"{name}={value}")
        _add(digest, mutant)
        return digest.hexdigest()[:8]


def _add(digest: hashlib._Hash, text: str) -> None:
    data = text.encode()
    digest.update(f"{len(data)}:".encode())
    digest.update(data)


def _checksum(plain: str) -> str:
    """Give four hexadecimal digits that change with a token."""
    return f"{binascii.crc_hqx(plain.encode(), 0xFFFF):04x}"


def _packed(values: Mapping[str, str]) -> str:
    """Write values so that a shell, make and a URL leave them alone."""
    data = zlib.compress(json.dumps(dict(values), ensure_ascii=False).encode(), 9)
    return base64.urlsafe_b64encode(data).decode().rstrip("=").replace("-", "~")


def _unpacked(text: str) -> dict[str, str]:
    data = text.replace("~", "-")
    try:
        said = json.loads(zlib.decompress(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))))
    except (zlib.error, binascii.Error) as error:
        raise ValueError(str(error)) from None
    if not isinstance(said, dict):
        raise ValueError("no values")
    return {str(name): str(value) for name, value in said.items()}


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
        if not number:
            return digits
