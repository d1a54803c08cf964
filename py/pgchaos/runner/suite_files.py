"""Plain pgTAP files that depend on each other (--chaos-pgtap-keep): they run in order in one database."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.engine.suite_database import SuiteDatabase
    from pgchaos.language.plain_files import Contents
    from pgchaos.results import RunResult
    from pgchaos.runner.jobs import Job
    from pgchaos.server import Server


class SuiteFiles:
    """Creates the database of the files for the first one, and drops it after the last one."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs
        self._left = len(jobs)
        self._database: SuiteDatabase | None = None
        self._stack = ExitStack()

    def database(self, server: Server) -> SuiteDatabase:
        """Return the database, created for the first file; ServerError if that fails."""
        from pgchaos.engine.suite_database import SuiteDatabase

        if self._database is None:
            sandbox = self._stack.enter_context(server.sandbox(contents=self._contents()))
            self._database = SuiteDatabase(sandbox)
        return self._database

    def _contents(self) -> Contents:
        """Return what the database must contain for all files: no pgTAP if one of them creates it."""
        from pgchaos.language.plain_files import Contents, contents_for
        from pgchaos.language.problems import ScenarioError

        found = set()
        for job in self._jobs.values():
            # a file that cannot be read fails when it is run
            with suppress(ScenarioError):
                found.add(contents_for(job.read()[0].statements()))
        if Contents.NOTHING in found:
            return Contents.NOTHING
        return Contents.TOOLKIT if Contents.TOOLKIT in found else Contents.PGTAP

    def finished(self, result: RunResult, earlier: int) -> list[str]:
        """Count a file that ran after `earlier` others, and drop the database after the last; return notes."""
        notes = []
        if result.failures and earlier:
            files = "1 file" if earlier == 1 else f"{earlier} files"
            notes.append(
                f"{files} ran before it in the same database (--chaos-pgtap-keep): name all of them to run it again"
            )
        self._left -= 1
        if self._left <= 0:
            notes += self.close()
        return notes

    def close(self) -> list[str]:
        """Remove what the files left on the server, and drop the database; return what could not be removed."""
        database, self._database = self._database, None
        try:
            return [] if database is None else database.clean_up()
        finally:
            self._stack.close()
