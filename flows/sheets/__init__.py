"""Lay an answer out as a picture."""
