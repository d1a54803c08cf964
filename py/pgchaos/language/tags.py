"""The tags of scenarios. Every pytest run with pgchaos installed imports this module, so it imports nothing."""

from __future__ import annotations

TAGS = {
    "slow": "may take more than 5 s",
    "concurrent": "several sessions at once",
    "destructive": "harms the server as a whole",
    "smoke": "one of the few that are run first",
    "corruption": "amcheck checks its tables and indexes",
    "recovery": "crashes, and what survives them: amcheck checks too",
}
"""The predefined tags, each also a pytest marker, with their meaning."""
