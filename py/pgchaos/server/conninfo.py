"""Connection strings, which never show a password, and the choice of the server that a run uses."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import conninfo as psycopg_conninfo

from pgchaos.safe_output import hide
from pgchaos.server.settings import Conninfo, ServerError, ServerSettings

Connection = psycopg.Connection[tuple[object, ...]]

PATIENT: Mapping[str, str] = MappingProxyType(
    {"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0"}
)
"""For who waits long, whatever the role's or the database's time-outs are; by SET, those could end the SET itself."""

ADMIN_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        **PATIENT,
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_read_only": "off",
        "default_transaction_isolation": "read committed",
        "search_path": '"$user", public',
    }
)
"""For who makes and drops databases, whatever the user wants sessions to begin with (PGOPTIONS)."""

_PASSWORDS = ("password", "sslpassword", "oauth_client_secret")
_NAMES = ("user", "dbname", "host", "hostaddr", "port", "service", "application_name")
_SHOWN = frozenset({*_NAMES, "sslmode", "channel_binding", "gssencmode", "require_auth", "passfile"})
_SWITCH = frozenset({"disable", "allow", "prefer", "require"})
_MODES = {
    "sslmode": _SWITCH | {"verify-ca", "verify-full"},
    "channel_binding": _SWITCH,
    "gssencmode": _SWITCH,
    "sslcertmode": _SWITCH,
    "sslnegotiation": frozenset({"postgres", "direct"}),
    "load_balance_hosts": frozenset({"disable", "random"}),
    "target_session_attrs": frozenset({"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}),
    "ssl_min_protocol_version": frozenset({"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
    "ssl_max_protocol_version": frozenset({"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
    "require_auth": frozenset({"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}),
}
"""Parameters that take one of a few words; libpq shows any other in its message, and a password may hang on it."""
_ADDRESS = re.compile(r"[0-9A-Fa-f:.,]*(%\w{1,15})?")
_NAMED = ("PGUSER", "PGDATABASE", "PGHOST", "PGSERVICE")
_URI = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_REASONS = {
    "invalid percent-encoded token": "a % in it begins no percent-encoded character; write % itself as %25",
    "forbidden value %00": "%00 cannot be in it",
    'end of string reached when looking for matching "]"': "an IPv6 address in it has no closing ]",
    "IPv6 host address may not be empty": "an IPv6 address in it is empty",
    "unexpected character": "after the host stands what is neither a port nor a database",
    "unexpected spaces": "a blank in a URI is written as %20",
    "unterminated quoted string": "a quote is not closed",
    "invalid connection option": "an option in it is not one of libpq's",
    "invalid URI query parameter": "a parameter in it is not one of libpq's",
    "extra key/value separator": "a parameter in it has two =",
    "missing key/value separator": "a parameter in it has no =",
    'missing "="': "an option in it has no =, or it is no URI that begins with postgresql://",
}
"""What libpq says of a connection string that it cannot read, by how it begins, and what we say: it quotes the text."""


class Parameters(dict[str, Any]):
    """The parameters of a connection, whose repr shows no password."""

    def __repr__(self) -> str:
        shown = {name: value if name in _SHOWN or not value else "********" for name, value in self.items()}
        return repr(shown)


def read_conninfo(conninfo: str, said: str = "the connection string") -> Parameters:
    """Take a connection string apart.

    Args:
        conninfo: libpq's.
        said: what it is called in messages.

    Returns:
        Its parameters.

    Raises:
        ServerError: it is none, or only looks like one; the message shows nothing of it, as a password may be anywhere.
    """
    try:
        given = psycopg_conninfo.conninfo_to_dict(conninfo)
        why = _misread(conninfo, given)
    except psycopg.Error as error:
        why = next((ours for theirs, ours in _REASONS.items() if str(error).startswith(theirs)), "libpq cannot read it")
    except ValueError:  # a null character, or half of a surrogate
        why = "a character in it cannot be in one"
    if why:
        raise ServerError(f"{said} is no connection string: {why} (it is not shown, as it may hold a password)")
    names = (*(given.get(name) for name in _NAMES), *(os.environ.get(name) for name in _NAMED))
    known = frozenset(str(name) for name in names if name)
    for name in _PASSWORDS:
        hide(str(given.get(name) or ""), known)
    hide(os.environ.get("PGPASSWORD", ""), known)
    for value in _no_modes(given):
        hide(value)
    return Parameters(given)


def _no_modes(given: Mapping[str, Any]) -> list[str]:
    """Give the values that are none which their parameter takes."""
    said = {name: str(given.get(name) or "") for name in (*_MODES, "hostaddr")}
    odd = [
        said[name]
        for name, words in _MODES.items()
        if not words.issuperset(word.strip().removeprefix("!").strip() for word in said[name].split(",") if word)
    ]
    return odd if _ADDRESS.fullmatch(said["hostaddr"]) else [*odd, said["hostaddr"]]


def _misread(conninfo: str, given: Mapping[str, Any]) -> str:
    """Say why what libpq has read is hardly what was meant: parts of a password would be shown as host or port."""
    if any(part and not part.isdigit() for part in str(given.get("port") or "").split(",")):
        return "its port is no number; in a user or password : / ? # @ and % are percent-encoded"
    dbname = str(given.get("dbname") or "")
    if "=" in dbname or "://" in dbname:
        # libpq takes such a dbname for a connection string of its own, in some places
        return "its dbname is a connection string itself: give that one alone"
    match = _URI.match(conninfo)
    if match is None:
        return ""
    before, _, _ = conninfo[match.end() :].partition("?")
    authority, _, path = before.partition("/")
    if any(ord(sign) > 127 and unicodedata.normalize("NFKC", sign) in ":/@?#%" for sign in authority):
        return "a sign in it only looks like : / ? # @ or %, and is another character"
    if authority.count("@") > 1 or "@" in path or "#" in before:
        return "in a user, password or database : / ? # @ and % are percent-encoded: @ is %40"
    return ""


def make_conninfo(conninfo: str = "", **parameters: Any) -> Conninfo:  # noqa: ANN401  as psycopg takes them
    """Make a connection string, or change one.

    Args:
        conninfo: libpq's, one that can be read.
        parameters: of libpq, which go before.

    Returns:
        The connection string.
    """
    return Conninfo(psycopg_conninfo.make_conninfo(conninfo, **parameters))


def may_be_shown(conninfo: str) -> bool:
    """Say whether a connection string holds nothing but names and modes.

    Args:
        conninfo: any text.
    """
    try:
        given = read_conninfo(conninfo)
        return not _no_modes(given) and {name for name, value in given.items() if value} <= _SHOWN
    except ServerError:
        return False


def with_settings(conninfo: str, settings: Mapping[str, str], **parameters: str) -> Conninfo:
    """Put settings into a connection string, so that RESET ALL and DISCARD ALL keep them.

    Args:
        conninfo: libpq's; the settings that it has, or PGOPTIONS, stay, unless they are given another value.
        settings: of the server, by name.
        parameters: libpq's own, such as application_name.

    Returns:
        The connection string.
    """
    # the parameter takes the place of the variable, and does not add to it
    said = str(read_conninfo(conninfo).get("options") or os.environ.get("PGOPTIONS") or "")
    options = [said, *(f"-c {name}={_escaped(value)}" for name, value in settings.items())]
    return make_conninfo(conninfo, options=" ".join(options).strip(), **parameters)


def _escaped(value: str) -> str:
    # the server splits `options` at white space, and takes a backslash as its escape
    return "".join("\\" + c if c.isspace() or c == "\\" else c for c in value)


LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE")
"""Variables of libpq that name a server; PGPASSWORD, PGSSLMODE and their like do not."""


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """A server, not yet touched.

    Args:
        said: what named it, for messages.
        conninfo: a connection string of an existing server, None for a private one.
        bindir: the programs of a private one, None for the embedded ones.
        database: the user named the database.
        beside: the programs of private servers beside an existing one, None for the embedded ones.
    """

    said: str
    conninfo: Conninfo | None = None
    bindir: Path | None = None
    database: bool = False
    beside: Path | None = None


def choose_server(settings: ServerSettings, environ: Mapping[str, str]) -> ServerChoice:
    """Choose a server: --chaos-dsn, a folder of programs, PG_BINDIR, libpq's environment, the embedded one."""
    if settings.dsn is not None:
        return _existing(settings.dsn, "--chaos-dsn", environ)
    if settings.pg_bindir is not None:
        return ServerChoice("--chaos-pg-bindir", bindir=settings.pg_bindir)
    if environ.get("PG_BINDIR"):
        return ServerChoice("PG_BINDIR", bindir=Path(environ["PG_BINDIR"]))
    said = [name for name in LIBPQ if environ.get(name)]
    if said:
        return _existing("", " ".join(said), environ)
    return ServerChoice("nothing")


def _existing(dsn: str, said: str, environ: Mapping[str, str]) -> ServerChoice:
    given = read_conninfo(dsn, said)
    # a service usually names its database; where it does not, libpq takes the role's name, as psql does
    named = any((given.get("dbname"), given.get("service"), environ.get("PGDATABASE"), environ.get("PGSERVICE")))
    beside = Path(environ["PG_BINDIR"]) if environ.get("PG_BINDIR") else None
    return ServerChoice(said, conninfo=Conninfo(dsn), database=named, beside=beside)
