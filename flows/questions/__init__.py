"""Answers from a run's tables; importing any of these loads no torch."""
