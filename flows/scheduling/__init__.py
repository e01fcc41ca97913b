"""Prefect: the flow, its server, schedules, events and reports."""

import os

# Prefect and OpenMP read these when they are imported, so they are set before any module of this room imports them.
os.environ.setdefault(
    "PREFECT_LOGGING_LEVEL", "CRITICAL"
)  # a failure is one line of ours, not a traceback of Prefect's
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a Prefect worker comes here without passing flows/cli.py
