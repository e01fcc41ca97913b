"""Compare two datasets: two runs of one model on different images."""
