"""Numbers of lines in a text from which blocks were cut out."""

from __future__ import annotations


class Lines:
    """Counts lines on the way through a text.

    Args:
        text: the text; positions asked for must not decrease.
    """

    __slots__ = ("_at", "_cuts", "_line", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._cuts: list[tuple[int, int]] = []

    def line(self, at: int) -> int:
        """Say in which line of the whole text a position stands.

        Args:
            at: the position, not before the last one asked for.

        Returns:
            The line, from 1.
        """
        while self._cuts and self._cuts[0][0] <= at:
            self._line += self._cuts.pop(0)[1]
        if at > self._at:
            self._line += self._text.count("\n", self._at, at)
            self._at = at
        return self._line

    def cut(self, text: str, at: int, lines: int) -> None:
        """Take note that lines were cut out.

        Args:
            text: what is left of the text.
            at: where they stood, after all positions asked for.
            lines: how many.
        """
        self._text = text
        self._cuts.append((at, lines))
