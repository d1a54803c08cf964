"""The client encodings of psql, and Python's codecs for them."""

from __future__ import annotations

import re
from types import MappingProxyType

UTF8 = "UTF8"

# names as in PostgreSQL's documentation, "Character Set Support"; without MULE_INTERNAL, EUC_TW and SQL_ASCII
_CODECS = {
    UTF8: "utf-8",
    "LATIN1": "iso8859-1",
    "LATIN2": "iso8859-2",
    "LATIN3": "iso8859-3",
    "LATIN4": "iso8859-4",
    "LATIN5": "iso8859-9",
    "LATIN6": "iso8859-10",
    "LATIN7": "iso8859-13",
    "LATIN8": "iso8859-14",
    "LATIN9": "iso8859-15",
    "LATIN10": "iso8859-16",
    **{f"ISO_8859_{number}": f"iso8859-{number}" for number in range(5, 9)},
    **{f"WIN{number}": f"cp{number}" for number in (866, 874, *range(1250, 1259))},
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    "EUC_JP": "euc_jp",
    "EUC_JIS_2004": "euc_jis_2004",
    "EUC_KR": "euc_kr",
    "EUC_CN": "gb2312",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "UHC": "cp949",
    "JOHAB": "johab",
    "BIG5": "cp950",
    "SJIS": "cp932",
    "SHIFT_JIS_2004": "shift_jis_2004",
}
_MAPPED_DIFFERENTLY = frozenset("¢£¬‖\u2212〜￣―￥⦅⦆")
"""Python's codecs and the server map them to different codes of EUC_JP or EUC_JIS_2004."""
_OTHER_NAMES = {
    "UNICODE": UTF8,
    "ISO88591": "LATIN1",
    "ISO88592": "LATIN2",
    "ISO885915": "LATIN9",
    "WIN": "WIN1251",
    "KOI8": "KOI8R",
    "ALT": "WIN866",
    "ABC": "WIN1258",
    "TCVN": "WIN1258",
    "VSCII": "WIN1258",
    "WINDOWS949": "UHC",
    "WINDOWS950": "BIG5",
    "WINDOWS936": "GBK",
    "WINDOWS932": "SJIS",
    "MSKANJI": "SJIS",
    "SHIFTJIS": "SJIS",
    **{f"WINDOWS{number}": f"WIN{number}" for number in (866, 874, *range(1250, 1259))},
}


def _bare(name: str) -> str:
    # the server and libpq compare names in this form (clean_encoding_name in encnames.c)
    return re.sub(r"[^A-Za-z0-9]", "", name).upper()


_NAMES = MappingProxyType({_bare(name): name for name in _CODECS} | _OTHER_NAMES)


def encoding_named(name: str) -> str | None:
    """Return the PostgreSQL name of an encoding, from any of its names such as `latin-1`; None if it is unknown."""
    return _NAMES.get(_bare(name))


def codec_of(encoding: str) -> str:
    """Return Python's codec for an encoding, from its PostgreSQL name."""
    return _CODECS[encoding]


def characters_of(encoding: str) -> str | None:
    """List characters that a database can store, except NUL.

    Args:
        encoding: the PostgreSQL name of the database's encoding.

    Returns:
        All of an encoding with one byte a character, and those of up to two bytes of others, in the order of their
        codes. ASCII if Python has no codec for it. None: all characters of Unicode.
    """
    if encoding in (UTF8, "SQL_ASCII"):
        return None
    codec, high = _CODECS.get(encoding, "ascii"), range(0x80, 0x100)
    codes = [*(bytes([code]) for code in range(1, 0x100)), *(bytes([lead, code]) for lead in high for code in high)]
    decoded = ((code, code.decode(codec, "ignore")) for code in codes)
    return "".join(
        text
        for code, text in decoded
        if len(text) == 1 and text not in _MAPPED_DIFFERENTLY and text.encode(codec, "ignore") == code  # round trip
    )
