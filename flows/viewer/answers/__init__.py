"""The viewer's JSON, from a run's tables and without the model."""
