"""The objects of a server that specs need exclusively when they run concurrently, and their expected times. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgchaos.isolation.model import Spec
from pgchaos.language.schedules import count_interleavings

_CREATED = re.compile(
    r"\bCREATE\s+(ROLE|USER|GROUP|TABLESPACE|DATABASE|SUBSCRIPTION)\s+(?!MAPPING\b)(?:\"([^\"]+)\"|([\w$]+))",
    re.IGNORECASE,
)
_PREPARED = re.compile(r"\bPREPARE\s+TRANSACTION\s+'([^']+)'", re.IGNORECASE)
_SLOT = re.compile(r"\bpg_create_\w+_replication_slot\s*\(\s*'([^']+)'", re.IGNORECASE)
_SERIALIZABLE = re.compile(r"\bserializable\b", re.IGNORECASE)
_DEFERRABLE = re.compile(r"\bREAD\s+ONLY(?:\s*,)?\s+DEFERRABLE\b|\bDEFERRABLE(?:\s*,)?\s+READ\s+ONLY\b", re.IGNORECASE)
_PARALLEL = re.compile(r"\bmax_parallel_workers_per_gather\b|\b(?:force_parallel_mode|debug_parallel_query)\b")
_SERVER_WIDE = re.compile(
    r"\bpg_stat_(?:activity|replication|wal|ssl|gssapi|database|archiver|bgwriter|checkpointer|io|slru|progress|recovery"
    r"|subscription|statements|get_(?:activity|backend|db|progress|wal|slru|io|checkpointer|bgwriter|buf))\w*"
    r"|\bpg_(?:locks|lock_status|prepared_xacts?|replication_slots|get_replication_slots|replication_origin\w*"
    r"|shmem_allocations\w*|buffercache\w*)\b",
    re.IGNORECASE,
)
_DATABASE_NAME = re.compile(
    r"\bisolation_regression\b|\bcurrent_(?:database|catalog)\b|\binformation_schema\b|\bdatname\b"
    r"|\bpg_database\b",
    re.IGNORECASE,
)
_ROLES = ("role", "user", "group")
_MANY = "serializable"


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """An object of the server that only one database may use at a time."""

    what: str  # its kind and name
    shared: bool = False  # several databases may share it


def needs(source: str) -> list[Need]:
    """Return the objects of the server that a spec uses, in one order for all specs, to prevent deadlocks."""
    found = {f"{_kind(kind)} {quoted or bare.lower()}" for kind, quoted, bare in _CREATED.findall(source)}
    found |= {f"prepared {gid}" for gid in _PREPARED.findall(source)}
    found |= {f"slot {name}" for name in _SLOT.findall(source)}
    if _PARALLEL.search(source):
        found.add("parallel workers")
    needed = [Need(what) for what in found]
    if _SERIALIZABLE.search(source):
        # a safe snapshot waits for transactions in all databases (GetSafeSnapshot in predicate.c)
        needed.append(Need(_MANY, shared=not _DEFERRABLE.search(source)))
    return sorted(needed)


def blocks_many_specs(source: str) -> bool:
    """Whether a spec needs exclusively what many specs share."""
    return Need(_MANY) in needs(source)


def sees_the_server(source: str) -> bool:
    """Whether a spec reads about other sessions of the server, so that it must run alone, as with isolationtester."""
    return _SERVER_WIDE.search(source) is not None


def names_database(source: str) -> bool:
    """Whether a spec may contain or query the name of its database."""
    return _DATABASE_NAME.search(source) is not None


def roles(source: str) -> list[str]:
    """Return the roles that a spec creates: they belong to the server, and would remain after its database."""
    return sorted({quoted or bare.lower() for kind, quoted, bare in _CREATED.findall(source) if _kind(kind) == "role"})


def _kind(word: str) -> str:
    return "role" if word.lower() in _ROLES else word.lower()


_QUERY = 0.0004  # seconds of a typical query in the specs of PostgreSQL 15, roughly
_CONNECTION = 0.01
_MOST = 10**9  # with more interleavings a spec would never end, so they are not counted
_ROW = 3e-6  # seconds for each row that setup generates
_EFFORT_MANY = re.compile(r"\b\d{4,7}\b")


def effort(spec: Spec) -> float:
    """Estimate the seconds that a spec takes, for comparison with other specs."""
    steps = [len(session.steps) for session in spec.sessions]
    if spec.written:
        times = len(spec.written)
        launched = sum(map(len, spec.written))
    else:
        times = min(count_interleavings(steps, _MOST), _MOST)
        launched = times * sum(steps)
    blocks = len(spec.setups) + (spec.teardown is not None)
    blocks += sum((s.setup is not None) + (s.teardown is not None) for s in spec.sessions)
    rows = sum(int(number) for number in set(_EFFORT_MANY.findall("".join(spec.setups))))
    return _CONNECTION * (1 + len(steps)) + _QUERY * (launched + times * blocks) + _ROW * rows * times
