"""What psql sends when it runs a file, from the server's log."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from pgchaos.language.psql_patterns import BETWEEN, block_comment_end
from pgchaos.server import PrivateServer, start_private
from pgchaos.server.binaries import server_environment

SETTINGS = {"log_statement": "all", "log_line_prefix": "<<%p>>", "log_min_error_statement": "error"}
ENTRY = re.compile(r"^<<\d+>>(\w+):  (.*?)(?=^<<|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Psql:
    """A psql, and a server that logs what it receives."""

    server: PrivateServer
    folder: Path

    def sent(self, text: str, variables: Mapping[str, str]) -> list[str]:
        """Run a file, and list what reached the server."""
        file = self.folder / "file.sql"
        file.write_text(text, encoding="utf-8", newline="")
        return self.sent_by(file, variables)

    def sent_by(
        self,
        file: Path,
        variables: Mapping[str, str],
        dbname: str = "postgres",
        environ: Mapping[str, str] | None = None,
        seconds: float = 60.0,
    ) -> list[str]:
        """Run a file that is there, and list what reached the server.

        Args:
            file: where it lies.
            variables: set from the beginning.
            dbname: the database.
            environ: put into psql's environment.
            seconds: that it may take.
        """
        before = self.server.log.stat().st_size
        settings = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        conninfo = make_conninfo(**{**self.server.parameters, "dbname": dbname})
        subprocess.run(
            [str(self.server.bindir / "psql"), "-X", "-q", "-d", conninfo, *settings, "-f", str(file)],
            env={**server_environment(self.server.bindir, os.environ), "PGCLIENTENCODING": "UTF8", **(environ or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,  # the statements are nonsense for the most part
        )
        with self.server.log.open("rb") as log:
            log.seek(before)
            # a statement in another encoding is logged as it was sent
            return _statements(log.read().decode("utf-8", "replace"))


def start(bindir: Path | None, folder: Path, settings: Mapping[str, str] | None = None) -> Psql:
    """Start a server, with further settings, whose log says what it is sent."""
    return Psql(start_private(bindir, {**SETTINGS, **(settings or {})}), folder)


def bare(statement: str) -> str:
    """Remove what is before the first word and behind the last, and lines with nothing on them.

    psql takes the terminator and leading block comments along and drops empty lines; a scan does not.
    """
    at = 0
    while (found := BETWEEN.match(statement, at)) and found.lastgroup in ("comment", "block", "empty"):
        at = found.end()
        if found.lastgroup == "block":
            at = block_comment_end(statement, found.start("block"))
    return re.sub(r"\s*\n\s*", "\n", statement[at:].strip().rstrip("; \t\n\r\f\v"))


def _statements(log: str) -> list[str]:
    sent: list[str] = []
    executed = None
    for kind, entry in ENTRY.findall(log):
        text = entry.replace("\n\t", "\n").rstrip("\n")
        if kind == "LOG" and text.startswith("statement: "):
            executed = text.removeprefix("statement: ")
            sent.append(executed)
        elif kind == "STATEMENT":
            # a statement that does not parse is logged with its error only, any other one twice
            if text != executed:
                sent.append(text)
            executed = None
    return sent
