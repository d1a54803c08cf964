"""What a user is told of a run that failed. Plain text, for people who know SQL."""

from pgchaos.report.permutation import searched
from pgchaos.report.replay import MAKE, item_name, replay_line
from pgchaos.report.text import failure_text

__all__ = ["MAKE", "failure_text", "item_name", "replay_line", "searched"]
