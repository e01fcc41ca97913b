"""Whatever a person or a scheduler starts: configuration, stages, flows, command line, queries."""

import os

# Prefect reads both when it is imported, so before any module of ours can do that.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
