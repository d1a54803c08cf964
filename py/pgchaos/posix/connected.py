"""Which processes of this machine are connected with each other (Linux: sock_diag(7), proc(5))."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from socket import socket as Socket  # bound here: pytest-socket may replace socket.socket

from pgchaos.posix import tcp_table

_SOCKET = re.compile(r"socket:\[([0-9]+)\]")
_PROTOCOL, _BY_FAMILY, _DUMP = 4, 20, 0x301
"""NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, and NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH."""
_DONE, _ERROR = 3, 2
"""The types of the messages that end an answer (netlink(7))."""
_ALL_STATES, _SHOW_PEER, _PEER = 0xFFFFFFFF, 4, 2
"""UDIAG_SHOW_PEER, and the attribute UNIX_DIAG_PEER."""
_HEADER, _SOCKET_PART, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=4xI8x"), struct.Struct("=HH")
_RECEIVED = 1 << 18
"""Bytes, more than the kernel puts into one message."""
_LIMIT = 5.0
"""Seconds, for the kernel and for `ls`."""


def connected(pids: Collection[int]) -> dict[int, set[int]]:
    """Find which of some processes are connected with each other, by Unix sockets or TCP.

    Returns:
        For each process, the others of `pids` at the other end of one of its sockets. Processes of which that cannot be
        read are missing: those of other machines and containers, and of other accounts unless this one is root.
    """
    sockets = {pid: found for pid in pids if (found := _sockets(pid))}
    if len(sockets) < 2:  # none is of this machine, or its system has no /proc, and no netlink
        return {}
    processes = {inode: pid for pid, inodes in sockets.items() for inode in inodes}
    peers = _unix_peers() | tcp_table.peers()
    others: dict[int, set[int]] = defaultdict(set)
    for inode, pid in processes.items():
        other = processes.get(peers.get(inode, 0), pid)
        if other != pid:
            others[pid].add(other)
            others[other].add(pid)
    return others


def _sockets(pid: int) -> set[int]:
    """List the inodes of the sockets of a process."""
    process, links = Path(f"/proc/{pid}"), []
    try:
        for file in (process / "fd").iterdir():
            with suppress(FileNotFoundError):  # it has closed it meanwhile
                links.append(str(file.readlink()))
    except PermissionError:
        links = [_listed_by_its_account(process)] if os.geteuid() == 0 else []
    except OSError:  # it has ended, or is of another machine
        return set()
    return {int(inode) for inode in _SOCKET.findall("\n".join(links))}


def _listed_by_its_account(process: Path) -> str:
    """List the files of a process as its account: in a container, root may not be allowed to."""
    try:
        owner = process.stat()
        return subprocess.run(
            ["ls", "-l", process / "fd"],
            env={},  # nothing of root's, so `ls` is that of the default path
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            cwd="/",
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
            check=False,  # what it could read is enough
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _unix_peers() -> dict[int, int]:
    """Map the inode of each Unix socket to that of the other end."""
    peers: dict[int, int] = {}
    request = struct.pack("=BBHIII8x", socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _SHOW_PEER)
    try:
        with Socket(socket.AF_NETLINK, socket.SOCK_RAW, _PROTOCOL) as kernel:
            kernel.settimeout(_LIMIT)
            kernel.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _DUMP, 1, 0) + request)
            while _read(kernel.recv(_RECEIVED), peers):
                pass
    except OSError:  # a kernel without it
        return {}
    return peers


def _read(received: bytes, peers: dict[int, int]) -> bool:
    """Read the peers in some messages of the kernel; False at the end of its answer."""
    start = 0
    while start + _HEADER.size <= len(received):
        length, kind, *_ = _HEADER.unpack_from(received, start)
        if kind in (_DONE, _ERROR) or length < _HEADER.size:
            return False
        message = received[start + _HEADER.size : start + length]
        (inode,), at = _SOCKET_PART.unpack_from(message), _SOCKET_PART.size
        while at + _ATTRIBUTE.size <= len(message):
            size, name = _ATTRIBUTE.unpack_from(message, at)
            if name == _PEER:
                (peers[inode],) = struct.unpack_from("=I", message, at + _ATTRIBUTE.size)
            at += max(_ATTRIBUTE.size, size + 3 & ~3)
        start += length + 3 & ~3
    return bool(received)
