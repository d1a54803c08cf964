"""The oracle: whether the outcome of a run is that of some serial order of its transactions.

Pure: outcomes, serial orders, the search among them, and the report of an outcome without one. The search room makes
the runs (search/serial_oracle.py).
"""
