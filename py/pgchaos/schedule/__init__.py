"""Decisions: who may go on, who is blocked, what an error means. Pure code: knows no database, no thread, no clock."""
