"""Inspect a torch module from outside: layers, axes, activations, fingerprints, receptive fields."""
