"""How many orders there are, as far as anybody wants to know. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def interleaved(lengths: Iterable[int], most: int) -> int:
    """Count the ways to interleave sequences.

    Args:
        lengths: of the sequences.
        most: how far to count: the number itself may have millions of digits.

    Returns:
        The multinomial coefficient of the lengths, or some number greater than `most` where it is greater.
    """
    number, before = 1, 0
    for length in lengths:
        # the members of one more sequence are put between those that were there
        for place in range(1, min(before, length) + 1):
            number = number * (before + length + 1 - place) // place
            if number > most:
                return number
        before += length
    return number
