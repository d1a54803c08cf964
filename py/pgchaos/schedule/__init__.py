"""Decides which session runs next, which is blocked, what an error means. Pure: no database, no threads, no clock."""
