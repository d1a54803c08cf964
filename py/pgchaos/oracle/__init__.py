"""The oracle decides whether the outcome of a run is that of some serial order of its transactions.

Pure: outcomes, serial orders, the search for one, and the anomaly if there is none. search/serial_oracle.py makes the
runs.
"""
