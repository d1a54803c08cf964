"""What collection needs to know about a file. Fast to load, because cached files are not read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgchaos.runner.jobs import Job, Part

_DRAWING: tuple[Part, ...] = ("drawing", "searching")


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What collection needs to know about a file with a scenario."""

    plain: bool  # it has no directives
    title: str
    tags: tuple[str, ...]  # as written, without 'chaos'
    line: int  # that a skip points to
    notes: tuple[str, ...]
    connections: int  # of an item, at most
    alone: bool  # no other job may run on the server meanwhile
    permutations: int  # interleavings of an item at most, if the file asks for all; else 0
    parts: tuple[Part, ...]  # of the engine that every item needs
    # for each combination of values of the matrix: the scenario ('') and the slugs of its mutants, each with its
    # fingerprint, and whether it draws values
    items: tuple[tuple[Mapping[str, str], tuple[tuple[str, str, bool], ...]], ...]

    def jobs(
        self,
        path: Path,
        shown: str,
        tags: tuple[str, ...] = (),
        *,
        mutants: bool = False,
        root: Path | None = None,
        in_suite: bool = False,
        constants: Mapping[str, str] | None = None,
    ) -> Iterator[Job]:
        r"""List the jobs of the file, with those of its mutants if `mutants`.

        `in_suite`: they run in the one database of --chaos-pgtap-keep. `\copy` reads files below `root`.
        """
        for values, names in self.items:
            for name, fingerprint, draws in names if mutants else names[:1]:
                yield Job(
                    path,
                    shown,
                    tags,
                    values,
                    name,
                    self.connections,
                    self.alone,
                    fingerprint,
                    self.permutations,
                    draws,
                    (*self.parts, *_DRAWING) if draws else self.parts,
                    root=root,
                    plain=self.plain,
                    in_suite=in_suite,
                    constants=constants or {},
                )

    def to_json(self) -> list[Any]:
        """Return all fields, as JSON can store them."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def from_json(cls, stored: list[Any]) -> FileSummary:
        """Read what `to_json` returned; ValueError or TypeError for anything else."""
        plain, title, tags, line, notes, connections, alone, most, parts, items = stored
        pairs = tuple([(values, tuple([(name, of, draws) for name, of, draws in names])) for values, names in items])
        return cls(plain, title, tuple(tags), line, tuple(notes), connections, alone, most, tuple(parts), pairs)
