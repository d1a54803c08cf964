"""How a run is to be made."""

from __future__ import annotations

from dataclasses import dataclass

from pgchaos.engine.stop import Stop


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is to be made.

    Args:
        seed: of everything random.
        timeout: seconds for the sessions together, and for each of the other sections, where the file names none.
        limit: seconds that no share may exceed, whatever the file says (a test runner's own time-out), or None.
        replay: who goes on at each step, by the numbers of the connections; None to go by the file's schedule.
        selfcheck: run every order of steps twice, and fail where they do not go the same way.
        stop: when it is set, the run is brought to an end, its database left as a finished run leaves it; or None.
    """

    seed: int
    timeout: float = 60.0
    limit: float | None = None
    stop: Stop | None = None
    replay: tuple[int, ...] | None = None
    selfcheck: bool = False

    def share(self, written: float | None) -> float:
        """Tell the seconds of one part of the run.

        Args:
            written: what the file says, or None.
        """
        seconds = self.timeout if written is None else written
        return seconds if self.limit is None else min(seconds, self.limit)
