"""The metrics of cells and units: a row each in metrics.py, and how their values are read."""
