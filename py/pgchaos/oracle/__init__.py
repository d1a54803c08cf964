"""Oracle: whether what a run came to is what its transactions could have come to one after the other.

Pure: outcomes, serial orders, the search among them, and what is told of those that have none. The engine makes the
runs (engine/judging/oracle.py).
"""
