"""The rules of `sandbox schema`: statements and functions with an effect outside the schema, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADVISORY = "an advisory lock belongs to the whole database"
_CHANNEL = "a channel belongs to the whole database"
_PREPARED = "a prepared transaction belongs to the whole server"
_SEARCH_PATH = "the schema of the sandbox is first on the search_path, and would be lost"
_SERIALIZABLE = "serializable transactions of other scenarios in the database may make it fail, or fail by it"
_SHARED = "it belongs to no schema, and other scenarios see it"
_SERVER = "it concerns the whole server"

_OBJECTS = (
    "user mapping|default privileges|event trigger|foreign data wrapper|access method|large object|database|role|user"
    "|group|tablespace|extension|schema|language|publication|subscription|server|cast|transform"
)
_OPTIONS = r"(?: verbose)?(?: \( [^()]* \))?"


@dataclass(frozen=True, slots=True)
class Rule:
    """A statement or function that is refused."""

    pattern: re.Pattern[str]  # matches a statement, or the name of a function
    subject: str  # its name in the message; `{}` is the first group of the pattern in capitals
    reason: str

    @property
    def leaves_nothing(self) -> bool:
        """Whether it only affects other scenarios that run in the database, and leaves nothing there."""
        return self.reason in (_CHANNEL, _SERIALIZABLE, _ADVISORY)


def _rules(*rows: tuple[str, str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(re.compile(pattern), subject, reason) for pattern, subject, reason in rows)


# Statements, matched from their beginning, as tokens separated by a space: words in lower case, quoted identifiers as
# `"_name"`, strings as `'_text'`, both shortened and without spaces.
STATEMENTS = _rules(
    (r"vacuum\b", "VACUUM", "what it can remove depends on the snapshots of other scenarios"),
    (rf"analy[sz]e{_OPTIONS}$", "ANALYZE without a table", "it reads every table of the database"),
    (rf"cluster{_OPTIONS}$", "CLUSTER without a table", "it locks every clustered table of the database"),
    (r"reindex (?:\( [^()]* \) )?(?:concurrently )?(database|system|schema)\b", "REINDEX {}", "it locks other indexes"),
    (r"checkpoint\b", "CHECKPOINT", _SERVER),
    (r"(listen|notify|unlisten)\b", "{}", _CHANNEL),
    (r"prepare transaction\b(?! as\b| \()", "PREPARE TRANSACTION", _PREPARED),
    (r"(commit|rollback) prepared\b", "{} PREPARED", _PREPARED),
    (
        r"(?:create|alter|drop|reindex|refresh)\b.* concurrently\b",
        "CONCURRENTLY",
        "it waits for the transactions of other scenarios",
    ),
    (r"(?:.* )?isolation level serializable\b", "SERIALIZABLE", _SERIALIZABLE),
    (
        r"(?:set|alter|create)\b(?:.* set)?(?: local| session)? (?:default_)?transaction_isolation (?:=|to)"
        r" (?:'_|\"_)?serializable\b",
        "SERIALIZABLE",
        _SERIALIZABLE,
    ),
    (
        r"(?:set|(?:create|alter)\b.* set)(?: local| session)? (?:\"_)?search_path\b",
        "SET search_path",
        _SEARCH_PATH,
    ),
    (r"set(?: local| session)? schema\b", "SET SCHEMA", _SEARCH_PATH),
    (r"alter\b.* set schema\b", "SET SCHEMA", "what it moves leaves the schema of the sandbox"),
    (r"reset (?:\"_)?search_path\b", "RESET search_path", _SEARCH_PATH),
    (r"(reset|discard) all\b", "{} ALL", "it resets the search_path, which the schema of the sandbox must be on"),
    (r"(?:.* )?set_config \( e?'_search_path'", "set_config('search_path', …)", _SEARCH_PATH),
    (
        r"(?:.* )?set_config \( '_(?:default_)?transaction_isolation' , '_serializable'",
        "SERIALIZABLE",
        _SERIALIZABLE,
    ),
    (r"alter system\b", "ALTER SYSTEM", _SERVER),
    (r"(create|alter|drop)(?: or replace)?(?: trusted)?(?: procedural)? " rf"({_OBJECTS})\b", "{}", _SHARED),
    (r"alter (?:table|index|materialized view) all in tablespace\b", "ALL IN TABLESPACE", "it changes other tables"),
    (r"((?:comment|security label(?: for \S+)?) on)(?: trusted)?(?: procedural)? " rf"({_OBJECTS})\b", "{}", _SHARED),
    (r"(reassign owned|drop owned|import foreign schema)\b", "{}", "it reaches what is in other schemas"),
    (
        r"(?:grant|revoke)\b.* on (?:foreign server|parameter|procedural language|" rf"{_OBJECTS})\b",
        "GRANT or REVOKE on what belongs to no schema",
        _SHARED,
    ),
    (r"(?:grant|revoke)\b.* in schema\b", "IN SCHEMA", "a scenario does not know the name of its schema"),
    (r"(grant|revoke) (?!.* on ).* (?:to|from) ", "{} of a role", "roles belong to the whole server"),
    (r"lock\b.*? (pg_(?!temp\b)\w+)", "LOCK of a system catalog", "every session needs it"),
)

# functions of the server and its extensions, by name
FUNCTIONS = _rules(
    (r"pg_(?:try_)?advisory_\w+", "{}()", _ADVISORY),
    (r"pg_notify", "{}()", _CHANNEL),
    (r"pg_(?:terminate|cancel)_backend", "{}()", "the backend may be that of another scenario"),
    (
        r"lo_(?:creat|create|import|export|unlink|open|close|get|put|from_bytea|lseek(?:64)?|tell(?:64)?"
        r"|truncate(?:64)?)|loread|lowrite",
        "{}()",
        "large objects belong to no schema",
    ),
    (r"dblink(?:_\w+)?", "{}()", "its connection has another search_path"),
    (r"pg_(?:create|drop|copy)_\w*replication_slot|pg_replication_(?:origin|slot)_\w+", "{}()", _SHARED),
    (
        r"pg_(?:reload_conf|rotate_logfile|switch_wal|create_restore_point|promote|wal_replay_\w+|stat_reset\w*"
        r"|backup_(?:start|stop)|(?:start|stop)_backup)",
        "{}()",
        _SERVER,
    ),
)

# functions of the schema chaos, by name; its other functions affect only the sessions of their scenario
TOOLKIT = _rules(
    (r"snapshot|unchanged", "chaos.{}()", "snapshots of all scenarios in the database are kept in one place, by name"),
    (r"clear_faults", "chaos.{}()", "without a table it clears the faults of all scenarios in the database"),
)
