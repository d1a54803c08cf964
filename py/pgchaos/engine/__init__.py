"""Real sessions on a real server: connections, waits, faults, invariants, checks, leaks. Knows no pytest."""
