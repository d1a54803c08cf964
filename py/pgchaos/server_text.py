"""Text of the server as str: bytes that are not UTF-8, as a SQL_ASCII database may hold, are surrogates (PEP 383).

So different values stay different, and a value that is sent back has the same bytes.
"""

from __future__ import annotations

import re

_RAW = re.compile("[\udc80-\udcff]")


def decoded(raw: bytes) -> str:
    """Decode bytes so that `encoded` restores them."""
    return raw.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Encode a text to the bytes that `decoded` read."""
    return text.encode("utf-8", "surrogateescape")


def escaped(text: str) -> str:
    r"""Replace bytes that are not UTF-8 by escapes such as `\xff`, for what must be valid text."""
    return _RAW.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
