"""Draw pictures by optimisation: objective × parameterisation × transform → render."""
