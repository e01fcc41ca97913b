"""A torch module seen from outside: layers, axes, activations, fingerprints, receptive fields."""
