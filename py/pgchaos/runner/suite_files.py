"""Lends plain pgTAP files that build on each other the one database that they share. Knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pgchaos.runner.jobs import Job

if TYPE_CHECKING:
    from pgchaos.engine.suite_database import SuiteDatabase
    from pgchaos.language.plain_files import Contents
    from pgchaos.results import RunResult
    from pgchaos.server import Server


class OneDatabase:
    """The database of the files that are run with --chaos-pgtap-keep, in the order in which they are asked for.

    Args:
        jobs: of all of them; after the last its database goes.
    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs
        self._to_run = len(jobs)
        self._suite: SuiteDatabase | None = None
        self._stack = ExitStack()

    def suite(self, server: Server) -> SuiteDatabase:
        """Give the database, which is made for the first file.

        Args:
            server: where.

        Raises:
            ServerError: there is none to be had.
        """
        from pgchaos.engine.suite_database import SuiteDatabase

        if self._suite is None:
            self._suite = SuiteDatabase(self._stack.enter_context(server.sandbox(contents=self._contents())))
        return self._suite

    def _contents(self) -> Contents:
        """Tell what the files expect: pgTAP is not there where one of them creates it."""
        from pgchaos.language.plain_files import Contents, contents_for
        from pgchaos.language.problems import ScenarioError

        found = set()
        for job in self._jobs.values():
            # what is wrong with a file is told when its turn comes
            with suppress(ScenarioError):
                found.add(contents_for(job.read()[0].statements()))
        if Contents.NOTHING in found:
            return Contents.NOTHING
        return Contents.TOOLKIT if Contents.TOOLKIT in found else Contents.PGTAP

    def ran(self, result: RunResult, others: int) -> list[str]:
        """Note that a file was run; the database is removed after the last.

        Args:
            result: of the file.
            others: files that had run before it.

        Returns:
            Notes for its report.
        """
        notes = []
        if result.failures and others:
            files = "1 file" if others == 1 else f"{others} files"
            notes.append(f"{files} had run before it in the same database (--chaos-pgtap-keep): name them too")
        self._to_run -= 1
        if self._to_run <= 0:
            notes += self.close()
        return notes

    def close(self) -> list[str]:
        """Remove what the files have left on the server, and give the database back; doing so again does nothing.

        Returns:
            What could not be removed, and why.
        """
        suite, self._suite = self._suite, None
        try:
            return [] if suite is None else suite.clean_up()
        finally:
            self._stack.close()
