"""The texts that users read about a run. Plain text, for people who know SQL."""
