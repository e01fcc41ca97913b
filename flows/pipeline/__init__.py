"""Plan a run and carry it out."""
