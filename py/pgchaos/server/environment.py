"""The environment of the programs that are started."""

from __future__ import annotations

import os


def environment() -> dict[str, str]:
    """Copy the process's environment, for every program that is started.

    Other threads may change it at any time, as pytest does before and after each test. A program that were started
    with the environment itself, and not with a copy, would now and then not start: EFAULT, "Bad address", for the C
    library moves what execve is reading (glibc manual, "Environment Access": setenv is MT-Unsafe).
    """
    values = ((name, os.environ.get(name)) for name in list(os.environ))
    return {name: value for name, value in values if value is not None}


_PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_CONNECTING = ("PG", "KRB5", "SSL_CERT_", "OPENSSL_", "LDAP", "XDG_")
"""With these begin the variables that a connection may need: libpq's, and those of the libraries that it uses."""


def environment_for(*, connecting: bool) -> dict[str, str]:
    """Choose what a supervisor needs of the process's environment: secrets of others are not passed on."""
    prefixes = _CONNECTING if connecting else ()
    return {name: value for name, value in environment().items() if name in _PLAIN or name.startswith(prefixes)}
