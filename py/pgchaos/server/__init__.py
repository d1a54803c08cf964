"""PostgreSQL servers: found, started, watched, and the databases that a run makes on them. Knows no pytest."""
