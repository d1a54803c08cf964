"""For which values of a matrix a directive counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class When:
    """`… when NAME = value or value`: the directive counts for these values of a matrix only."""

    name: str
    values: tuple[str, ...]


def holds(when: When | None, variables: Mapping[str, str]) -> bool:
    """Say whether a directive counts.

    Args:
        when: that ends its line; None for one that counts always.
        variables: the values of the matrix for this item.

    Returns:
        True where the named variable has one of the values.
    """
    return when is None or variables.get(when.name) in when.values
