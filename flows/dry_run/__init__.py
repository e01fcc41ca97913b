"""Estimate the time, disk and memory of a run from a probe of 64 images."""
