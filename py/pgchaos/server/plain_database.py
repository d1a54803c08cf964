"""Databases as PostgreSQL makes them, for isolation specs; one that is found clean serves the next spec too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.sandbox import Sandbox

BARE = ("",)
"""Stands for the extensions of a database that has none, not even pgTAP and the toolkit."""
WITH_PGTAP = ("", "pgtap")
"""Stands for those of a database that has pgTAP and not the toolkit."""
_LOADED = ("", "load")
"""Begins those of a database that has them and nothing else."""

REGRESSION = "isolation_regression"
"""The database of pg_isolation_regress."""

CLEAN = """
    SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE objid >= 16384)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_data_wrapper)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE oid >= 16384)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE database = current_database())
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE database = current_database())
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_catalog.pg_backend_pid()
                          AND application_name !~ '^(isolation/|pgchaos )')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s
                        WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database
                                              WHERE datname = current_database()))
       AND (SELECT datacl IS NULL FROM pg_catalog.pg_database WHERE datname = current_database())
"""
"""Is there nothing in a database that a spec has made? Whatever is made in one depends on something, 16384 being the
first OID that is not the system's (FirstNormalObjectId in transam.h), but for what is listed."""


def with_loaded(extensions: Sequence[str]) -> tuple[str, ...]:
    """Say what a pool calls the databases that have some extensions, and neither pgTAP nor the toolkit."""
    return (*_LOADED, *extensions) if extensions else BARE


def loaded(key: Sequence[str]) -> tuple[str, ...] | None:
    """Undo `with_loaded`."""
    return tuple(key[len(_LOADED) :]) if tuple(key[: len(_LOADED)]) == _LOADED else None


@dataclass(slots=True)
class Lent:
    """A database lent to a spec.

    Args:
        sandbox: which.
        shelf: where sessions of it wait for the next spec; None where it serves no other.
        clean: set by who found nothing in it at the end.
    """

    sandbox: Sandbox
    shelf: ConnectionCache | None = None
    clean: bool = False
