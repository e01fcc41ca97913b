"""Pictures by optimisation: objective × parameterisation × transform → render."""
