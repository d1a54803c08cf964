"""The tags of scenarios. Loaded by every project that has pgchaos, and so without anything else."""

from __future__ import annotations

TAGS = {
    "slow": "may take more than 5 s",
    "concurrent": "several sessions at once",
    "destructive": "harms the server as a whole",
    "smoke": "one of the few that are run first",
    "corruption": "amcheck checks its tables and indexes",
    "recovery": "crashes, and what survives them: amcheck checks too",
}
"""The tags of every project, each a marker of pytest, and their meaning."""
