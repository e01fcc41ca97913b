"""Sheets: lay an answer out as a picture."""
