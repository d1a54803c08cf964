"""Decides which session runs next, which is blocked, and what a session does after an error.

Pure: no database, no threads, no clock.
"""
