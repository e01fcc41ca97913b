"""Scores of what a unit means, from vectors of its patches and their labels."""
