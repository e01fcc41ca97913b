"""Lay activations out in the unit square: neighbours, reduction, alignment, out-of-sample placement."""
