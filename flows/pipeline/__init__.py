"""Plan a run and run it."""
