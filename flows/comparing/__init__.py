"""Compare two versions of a run: units, motion, labels and thresholds."""
