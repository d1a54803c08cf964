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
from psycopg import pq

from pgchaos.safe_output import hide
from pgchaos.server.settings import Conninfo, ServerError, ServerSettings

Connection = psycopg.Connection[tuple[object, ...]]

# For sessions that wait long, whatever the time-outs of the role or the database are. They are given in the connection
# string, because a time-out could end a SET.
NO_TIMEOUTS: Mapping[str, str] = MappingProxyType(
    {
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
)

# for sessions by which pgchaos works itself, whatever settings PGOPTIONS, the role or the database gives to sessions
OWN_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        **NO_TIMEOUTS,
        "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off",
        "default_transaction_isolation": "read committed",
        "standard_conforming_strings": "on",
        "plpgsql.extra_errors": "none",
    }
)

# for those that create and drop databases: a synchronous standby that is not there must not make them wait
ADMIN_SETTINGS: Mapping[str, str] = MappingProxyType(
    {**OWN_SETTINGS, "search_path": '"$user", public', "synchronous_commit": "local"}
)

_TRANSACTION_TIMEOUT_SINCE = 170000

_PASSWORDS = ("password", "sslpassword", "oauth_client_secret")
_NAMES = ("user", "dbname", "host", "hostaddr", "port", "service", "application_name")
_SWITCH = frozenset({"disable", "allow", "prefer", "require"})
# Parameters that take one of a few words. libpq shows any other value in its message, and it may contain a password.
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
_SHOWN = frozenset({*_NAMES, *_MODES, "passfile"})
_MASK = "********"
# parameters that only a newer libpq knows, by the variables that would set them
_NEWER = {
    "PGREQUIREAUTH": ("require_auth", ""),
    "PGSSLCERTMODE": ("sslcertmode", "allow"),
    "PGSSLNEGOTIATION": ("sslnegotiation", "postgres"),
}
_ADDRESS = re.compile(r"[0-9A-Fa-f:.,]*(%\w{1,15})?")
_NAMED = ("PGUSER", "PGDATABASE", "PGHOST", "PGSERVICE")
_URI = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
# Our explanations of libpq's messages about an invalid connection string, by prefix: libpq's own quote the string.
_REASONS = {
    "invalid percent-encoded token": "a % in it does not begin a percent-encoded character; % itself is %25",
    "forbidden value %00": "%00 cannot be in it",
    'end of string reached when looking for matching "]"': "an IPv6 address in it has no closing ]",
    "IPv6 host address may not be empty": "an IPv6 address in it is empty",
    "unexpected character": "after the host it has neither a port nor a database",
    "unexpected spaces": "a space in a URI must be written as %20",
    "unterminated quoted string": "a quote is not closed",
    "invalid connection option": "libpq does not know an option in it",
    "invalid URI query parameter": "libpq does not know a parameter in it",
    "extra key/value separator": "a parameter in it has two =",
    "missing key/value separator": "a parameter in it has no =",
    'missing "="': "an option in it has no =, or a URI in it does not begin with postgresql://",
}

# variables of libpq that name a server; PGPASSWORD, PGSSLMODE and similar ones do not
LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE")


class Parameters(dict[str, Any]):
    """The parameters of a connection, whose repr shows no password."""

    def __repr__(self) -> str:
        shown = {name: value if name in _SHOWN or not value else _MASK for name, value in self.items()}
        return repr(shown)


def read_conninfo(conninfo: str, source: str = "the connection string") -> Parameters:
    """Parse a connection string.

    Args:
        conninfo: libpq's.
        source: its name in messages.

    Returns:
        Its parameters.

    Raises:
        ServerError: it cannot be parsed, or libpq misreads it. The message shows no part of it: it may be a password.
    """
    try:
        given = psycopg_conninfo.conninfo_to_dict(conninfo)
        why = _why_misread(conninfo, given)
    except psycopg.Error as error:
        why = next((text for prefix, text in _REASONS.items() if str(error).startswith(prefix)), "libpq cannot read it")
    except ValueError:  # a null character, or a lone surrogate
        why = "a character in it is not allowed"
    if why:
        raise ServerError(
            f"{source} is not a valid connection string: {why} (it is not shown: it may contain a password)"
        )
    names = (*(given.get(name) for name in _NAMES), *(os.environ.get(name) for name in _NAMED))
    known = frozenset(str(name) for name in names if name)
    for name in _PASSWORDS:
        hide(str(given.get(name) or ""), known)
    hide(os.environ.get("PGPASSWORD", ""), known)
    for value in _unexpected_values(given):
        hide(value)
    return Parameters(given)


def role_of(conninfo: str) -> str:
    """Return the role that libpq connects as."""
    defaults = {one.keyword: one.val for one in pq.Conninfo.get_defaults()}
    return str(read_conninfo(conninfo).get("user") or (defaults.get(b"user") or b"user").decode())


def _unexpected_values(given: Mapping[str, Any]) -> list[str]:
    """List the values that are invalid for their parameter."""
    source = {name: str(given.get(name) or "") for name in (*_MODES, "hostaddr")}
    unexpected = [
        source[name]
        for name, words in _MODES.items()
        if not words.issuperset(word.strip().removeprefix("!").strip() for word in source[name].split(",") if word)
    ]
    return unexpected if _ADDRESS.fullmatch(source["hostaddr"]) else [*unexpected, source["hostaddr"]]


def _why_misread(conninfo: str, given: Mapping[str, Any]) -> str:
    """Explain how libpq misreads it, or return '': libpq would show parts of a password as host or port."""
    if any(part and not part.isdigit() for part in str(given.get("port") or "").split(",")):
        return "its port is not a number; in a user or password : / ? # @ and % must be percent-encoded"
    dbname = str(given.get("dbname") or "")
    if "=" in dbname or "://" in dbname:
        # libpq parses such a dbname as another connection string, in some cases
        return "its dbname is a connection string: give only that one"
    match = _URI.match(conninfo)
    if match is None:
        return ""
    before, _, _ = conninfo[match.end() :].partition("?")
    authority, _, path = before.partition("/")
    if any(ord(char) > 127 and unicodedata.normalize("NFKC", char) in ":/@?#%" for char in authority):
        return "a character in it looks like : / ? # @ or %, but is another one"
    if authority.count("@") > 1 or "@" in path or "#" in before:
        return "in a user, password or database : / ? # @ and % must be percent-encoded: @ is %40"
    return ""


def make_conninfo(conninfo: str = "", **parameters: Any) -> Conninfo:  # noqa: ANN401  as psycopg takes them
    """Override libpq parameters of a valid connection string."""
    return Conninfo(psycopg_conninfo.make_conninfo(conninfo, **parameters))


def private_parameters(socket: Path, no_passwords: Path) -> dict[str, str]:
    """Return the libpq parameters of a connection to a private server; they override an environment for another server.

    Args:
        socket: folder of its Unix socket.
        no_passwords: path of a file that does not exist.
    """
    parameters = {
        "host": str(socket),
        "hostaddr": "",
        # passwords in the environment are for another server
        "password": "",
        "passfile": str(no_passwords),
        "port": "5432",
        "user": "postgres",
        "dbname": "postgres",
        "channel_binding": "prefer",
        "gssencmode": "disable",
        "requirepeer": "",
        "target_session_attrs": "any",
    }
    # only a libpq that knows the variable knows the parameter
    return parameters | {name: value for variable, (name, value) in _NEWER.items() if os.environ.get(variable)}


def masked(conninfo: str) -> str:
    """Return a connection string as it may be shown: with ******** for each value that may be a password.

    Raises:
        ServerError: it cannot be parsed.
    """
    given = read_conninfo(conninfo)
    invalid = _unexpected_values(given)
    shown = {name for name, value in given.items() if name in _SHOWN and value not in invalid}
    hidden = {name: _MASK for name, value in given.items() if value and name not in shown}
    return make_conninfo(**{**given, **hidden}) if hidden else conninfo


def with_settings(conninfo: str, settings: Mapping[str, str], more_options: str = "", **parameters: str) -> Conninfo:
    """Add settings to a connection string, so that sessions start with them and RESET ALL restores them.

    Args:
        conninfo: libpq's; its other settings, or those of PGOPTIONS, stay.
        settings: of the server, by name.
        more_options: of the server, as they are written in `options`, after all others.
        parameters: libpq's own, such as application_name.

    Returns:
        The connection string.
    """
    # the parameter replaces the variable, and does not add to it
    source = str(read_conninfo(conninfo).get("options") or os.environ.get("PGOPTIONS") or "")
    options = [source, *(f"-c {name}={_escaped(value)}" for name, value in settings.items()), more_options]
    return make_conninfo(conninfo, options=" ".join(options).strip(), **parameters)


def _escaped(value: str) -> str:
    # the server splits `options` at white space; a backslash escapes it
    return "".join("\\" + c if c.isspace() or c == "\\" else c for c in value)


def for_version(settings: Mapping[str, str], version: int) -> dict[str, str]:
    """Add the time-out that older servers do not know to NO_TIMEOUTS, or to settings that contain them."""
    return {**settings, **({"transaction_timeout": "0"} if version >= _TRANSACTION_TIMEOUT_SINCE else {})}


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The server that a run uses. It is not connected yet."""

    source: str  # the option or variable that named it
    conninfo: Conninfo | None = None  # of an existing server, None for a private one
    bindir: Path | None = None  # the programs of a private one, None for the embedded ones
    database: bool = False  # the user named the database
    cluster_bindir: Path | None = None  # the programs of a scenario's own server, if the run's is an existing one


def choose_server(settings: ServerSettings, environ: Mapping[str, str]) -> ServerChoice:
    """Choose a server: --chaos-dsn, a folder of programs, PG_BINDIR, libpq's environment, the embedded one."""
    if settings.dsn is not None:
        return _existing(settings.dsn, "--chaos-dsn", environ)
    if settings.pg_bindir is not None:
        return ServerChoice("--chaos-pg-bindir", bindir=settings.pg_bindir)
    if environ.get("PG_BINDIR"):
        return ServerChoice("PG_BINDIR", bindir=Path(environ["PG_BINDIR"]))
    source = [name for name in LIBPQ if environ.get(name)]
    if source:
        return _existing("", " ".join(source), environ)
    return ServerChoice("nothing")


def _existing(dsn: str, source: str, environ: Mapping[str, str]) -> ServerChoice:
    given = read_conninfo(dsn, source)
    # a service usually names its database; if not, libpq uses the role's name, as psql does
    database = any((given.get("dbname"), given.get("service"), environ.get("PGDATABASE"), environ.get("PGSERVICE")))
    cluster_bindir = Path(environ["PG_BINDIR"]) if environ.get("PG_BINDIR") else None
    return ServerChoice(source, conninfo=Conninfo(dsn), database=database, cluster_bindir=cluster_bindir)
